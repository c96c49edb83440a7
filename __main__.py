"""The Pulumi program: read the settings, create the pipeline, and export its outputs."""

import pulumi

from retailpipe.errors import SettingsError
from retailpipe.infra import RetailPipeline, Settings

try:
    pipeline = RetailPipeline("pipeline", Settings.of_stack())
except SettingsError as error:
    raise pulumi.RunError(f"{error}\n{error.hint}") from None
for name, value in pipeline.outputs.items():
    pulumi.export(name, value)
