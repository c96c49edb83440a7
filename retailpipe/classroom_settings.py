"""The settings of a classroom stack: a few of those of other stacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from retailpipe import setting_values as values
from retailpipe.config import Mistake, config_of_stack, name_in_config, parse, refuse, removal
from retailpipe.setting_values import InvalidValue
from retailpipe.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ClassroomSettings:
    """The settings of a classroom stack. Names, defaults and descriptions are those of the class Settings."""

    monthly_budget: int = Settings.monthly_budget
    notify_emails: tuple[str, ...] = Settings.notify_emails
    owner: str = Settings.owner
    expires_on: str = Settings.expires_on

    @classmethod
    def of_stack(cls) -> Self:
        """Read the settings of the stack for which Pulumi runs the program. Raises SettingsError."""
        return cls.read(config_of_stack())

    @classmethod
    def read(cls, config: Mapping[str, str]) -> Self:
        """Read the settings of a classroom stack from its config.

        config: the values by name, without the project's prefix. Pulumi's engine adds the defaults in Pulumi.yaml, so
        other settings may be set to their defaults.
        Raises SettingsError, which lists all mistakes.
        """
        parsed, mistakes = parse(Settings, config)
        own = {each.name for each in fields(cls)}
        mistakes += [
            Mistake(name, f"{name} is not a setting of a classroom stack, which has no pipeline", removal(name))
            for each in fields(Settings)
            if each.name in parsed.keys() - own - {"classroom"} and parsed[each.name] != each.default
            for name in [name_in_config(each)]
        ]
        refuse(mistakes)
        return cls(**{name: value for name, value in parsed.items() if name in own})

    def for_components(self) -> Settings:
        """The settings as the components take them that a classroom stack shares with other stacks."""
        return Settings(
            allowed_cidrs=(),  # it has no database
            monthly_budget=self.monthly_budget,
            notify_emails=self.notify_emails,
            owner=self.owner,
            expires_on=self.expires_on,
        )


def is_classroom(config: Mapping[str, str]) -> bool:
    """Whether a config is that of a classroom stack. An invalid value is reported by `Settings.read`."""
    try:
        return values.boolean(config.get("classroom", ""))
    except InvalidValue:
        return False
