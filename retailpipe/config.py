"""Read Pulumi's config, which has the settings of a stack as text: parse every value, and report all mistakes at once.

Settings are the fields of a dataclass, made with `setting`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from retailpipe.errors import SettingsError
from retailpipe.setting_values import InvalidValue


class Secret(str):
    """A value that is a secret in the config. It must also be a secret in the state, and no message may show it."""

    __slots__ = ()


@dataclass(frozen=True)
class Mistake:
    """A mistake in the config: the setting, what is wrong, and the sentence that says how to correct it."""

    setting: str
    reason: str
    fix: str


def setting(about: str, parse: Callable[[str], Any], kind: str, default: Any = MISSING) -> Any:
    """A field of a dataclass of settings. kind: its type in Pulumi.yaml. A setting without a default is required."""
    return field(default=default, metadata={"about": about, "parse": parse, "kind": kind})


def name_in_config(each: Field[Any]) -> str:
    """The name of a setting in Pulumi's config: in camel case."""
    head, *rest = each.name.split("_")
    return head + "".join(word.title() for word in rest)


def config_of_stack() -> dict[str, str]:
    """The config of the stack for which Pulumi runs the program, without the project's prefix; secrets are Secret."""
    import pulumi
    from pulumi.runtime import config as pulumi_config

    prefix = f"{pulumi.get_project()}:"
    config = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
    return {
        name.removeprefix(prefix): Secret(value) if pulumi_config.is_config_secret(name) else value
        for name, value in config.items()
        if name.startswith(prefix)
    }


def parse(settings: type[Any], config: Mapping[str, str]) -> tuple[dict[str, Any], list[Mistake]]:
    """Parse a config. An empty value means that the setting is not set.

    settings: a dataclass whose fields are made with `setting`.
    Returns the values by field, and the mistakes. Required settings may be missing: see `missing`.
    """
    parsed: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    known = {name_in_config(each): each for each in fields(settings)}
    for name in sorted(config.keys() - known.keys()):
        mistakes.append(Mistake(name, f"{name} is not a setting", removal(name)))
    for name, each in known.items():
        text = config.get(name, "")
        if text == "":  # Pulumi.yaml has it as a default
            continue
        try:
            value = each.metadata["parse"](text)
        except InvalidValue as invalid:
            reason = "its value (a secret, not shown) is not valid" if isinstance(text, Secret) else invalid
            mistakes.append(Mistake(name, f"{name}: {reason}", correction(name, invalid.example)))
        else:
            parsed[each.name] = Secret(value) if isinstance(text, Secret) and isinstance(value, str) else value
    return parsed, mistakes


def missing(settings: type[Any], config: Mapping[str, str]) -> list[Mistake]:
    """The required settings that are not set."""
    return [
        Mistake(name, f"{name} is not set", correction(name, _example(each)))
        for each in fields(settings)
        if each.default is MISSING and config.get(name := name_in_config(each), "") == ""
    ]


def refuse(mistakes: Sequence[Mistake]) -> None:
    """Raise SettingsError, which lists the mistakes, if there are any."""
    if mistakes:
        listed = "".join(f"\n- {mistake.reason}. {mistake.fix}" for mistake in mistakes)
        raise SettingsError(
            f"the config of this stack is not valid:{listed}",
            hint="See docs/settings.md for all settings.",
            mistakes={mistake.setting: mistake.reason for mistake in mistakes},
        )


def correction(name: str, example: str) -> str:
    """The sentence that tells how to set a setting."""
    quoted = f"'{example}'" if re.search(r"[^\w./:@,-]", example) else example
    return f"Set it, for example with `pulumi config set {name} {quoted}`."


def removal(name: str) -> str:
    """The sentence that tells how to remove a setting."""
    return f"Remove it with `pulumi config rm {name}`."


def _example(each: Field[Any]) -> str:
    """Return a valid value of a required setting: the error that its parser raises for an empty text contains one."""
    try:
        each.metadata["parse"]("")
    except InvalidValue as invalid:
        return invalid.example
    return ""
