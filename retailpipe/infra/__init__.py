"""Pulumi components for AWS. `RetailPipeline` is the whole pipeline; each of its parts can also be used separately.

`Classroom` is what the pipelines of a class share.
"""

from retailpipe.classroom_settings import ClassroomSettings
from retailpipe.infra.classroom import Classroom
from retailpipe.infra.pipeline import RetailPipeline
from retailpipe.settings import Settings

__all__ = ["Classroom", "ClassroomSettings", "RetailPipeline", "Settings"]
