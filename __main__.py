"""The Pulumi program of a stack."""

from retailpipe.infra.program import declare

declare()
