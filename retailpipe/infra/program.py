"""The Pulumi program: read the settings, declare the pipeline or the classroom stack, and export its outputs."""

from __future__ import annotations

import pulumi

from retailpipe.classroom_settings import ClassroomSettings, is_classroom
from retailpipe.config import config_of_stack
from retailpipe.errors import SettingsError
from retailpipe.infra.classroom import Classroom
from retailpipe.infra.pipeline import RetailPipeline
from retailpipe.settings import Settings


def declare() -> None:
    """Declare the stack for which Pulumi runs the program. Raises pulumi.RunError if a setting is not valid."""
    try:
        if is_classroom(config_of_stack()):
            stack = Classroom("classroom", ClassroomSettings.of_stack())
        else:
            stack = RetailPipeline("pipeline", Settings.of_stack())
    except SettingsError as error:
        raise pulumi.RunError(f"{error}\n{error.hint}") from None
    for name, value in stack.outputs.items():
        pulumi.export(name, value)
