"""Pulumi components for AWS. `RetailPipeline` is the whole pipeline; each of its parts can also be used separately."""

from retailpipe.infra.pipeline import RetailPipeline
from retailpipe.infra.settings import Settings

__all__ = ["RetailPipeline", "Settings"]
