"""Makes docs/settings.md, and the config section of Pulumi.yaml, from the settings in the code: `make docs`."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from retailpipe.infra.settings import Settings, name_in_config

TOP = Path(__file__).resolve().parents[1]


def default(each: Field[Any]) -> Any:
    """The default as config writes it; MISSING where there is none."""
    return "" if each.default in (None, ()) else each.default


def page() -> str:
    lines = [
        "# Settings of a stack",
        "",
        "Made from the code by `make docs`. Each is set by `pulumi config set NAME VALUE`; empty stands for: not set.",
        "",
        "| name | type | default | |",
        "|---|---|---|---|",
    ]
    for each in fields(Settings):
        value = default(each)
        shown = "**none**" if value is MISSING else f"`{json.dumps(value)}`"
        lines.append(f"| `{name_in_config(each)}` | {each.metadata['kind']} | {shown} | {each.metadata['about']} |")
    return "\n".join(lines) + "\n"


def config() -> str:
    """The section `config` of Pulumi.yaml: the engine checks types by it, and `pulumi config` shows defaults."""
    lines = ["config:"]
    for each in fields(Settings):
        kind, value = each.metadata["kind"], default(each)
        lines += [f"  {name_in_config(each)}:", f"    type: {kind}"]
        lines += [f"    description: {json.dumps(each.metadata['about'])}"]
        lines += [] if value is MISSING else [f"    default: {json.dumps(value)}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    (TOP / "docs" / "settings.md").write_text(page(), encoding="utf-8")
    project = TOP / "Pulumi.yaml"
    head = project.read_text(encoding="utf-8").partition("\nconfig:\n")[0] + "\n"
    project.write_text(head + config(), encoding="utf-8")


if __name__ == "__main__":
    main()
