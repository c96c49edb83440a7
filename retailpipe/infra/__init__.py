"""The AWS side as Pulumi components. `RetailPipeline` is all of it; the parts can be used by themselves."""

from retailpipe.infra.pipeline import RetailPipeline
from retailpipe.infra.settings import Settings

__all__ = ["RetailPipeline", "Settings"]
