"""Generate docs/settings.md and the config section of Pulumi.yaml from settings.py. `make docs` runs it."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from retailpipe.config import name_in_config
from retailpipe.settings import Settings

TOP = Path(__file__).resolve().parents[1]


def default(each: Field[Any]) -> Any:
    """The default as the config contains it; MISSING if the setting is required."""
    return "" if each.default in (None, ()) else each.default


def page() -> str:
    lines = [
        "# Settings of a stack",
        "",
        "`make docs` generates this page from the code. Change a setting with `pulumi config set NAME VALUE`, then run "
        "`pulumi up`. An empty value means that the setting is not set.",
        "",
        "| name | type | default | description |",
        "|---|---|---|---|",
    ]
    for each in fields(Settings):
        value = default(each)
        shown = "**required**" if value is MISSING else f"`{json.dumps(value)}`"
        lines.append(f"| `{name_in_config(each)}` | {each.metadata['kind']} | {shown} | {each.metadata['about']} |")
    return "\n".join(lines) + "\n"


def config() -> str:
    """The section `config` of Pulumi.yaml. The engine checks types with it, and `pulumi config` shows its defaults."""
    lines = ["config:"]
    for each in fields(Settings):
        kind, value = each.metadata["kind"], default(each)
        lines += [f"  {name_in_config(each)}:", f"    type: {kind}"]
        lines += [f"    description: {json.dumps(each.metadata['about'])}"]
        # Without a default, the engine would require the setting, also of a classroom stack, which has no database.
        lines += [f"    default: {json.dumps('' if value is MISSING else value)}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    (TOP / "docs" / "settings.md").write_text(page(), encoding="utf-8")
    project = TOP / "Pulumi.yaml"
    head = project.read_text(encoding="utf-8").partition("\nconfig:\n")[0] + "\n"
    project.write_text(head + config(), encoding="utf-8")


if __name__ == "__main__":
    main()
