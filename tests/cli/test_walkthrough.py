"""Runs the commands of docs/walkthrough.md in their order, exactly as written, on a stack on the simulated AWS."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from retailpipe.sample import write_sample
from tests.aws.test_aws_commands import (
    project as project,  # fixture: a Pulumi project with a simulated pulumi command
)
from tests.support.declared import TOP
from tests.support.forked import programs
from tests.support.stacks import HandMade, hand_made

LEFT_OUT = re.compile(r"^(pulumi|export) ")
"""Commands that are not run: the stack already exists."""


def blocks() -> list[str]:
    """Return the shell blocks of docs/walkthrough.md."""
    text = (TOP / "docs" / "walkthrough.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.nightly
def test_all_commands_of_the_walkthrough_succeed(
    made: HandMade, moto: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands that deploy are left out, because the stack already exists. The code of the Lambdas runs."""
    monkeypatch.setenv("PATH", f"{programs()}{os.pathsep}{os.environ['PATH']}")
    write_sample(project / "online_retail.xlsx", rows=2_000)
    walk = hand_made(moto, made.outputs["database_port"], stack="walk", lambdas=True)
    walk.outputs["database_name"] = made.outputs["database_name"]
    walk.publish()
    monkeypatch.setenv("RETAILPIPE_STACK", "walk")
    (project / "outputs.json").write_text(json.dumps(walk.outputs))
    lines = [line for block in blocks() for line in block.splitlines() if not LEFT_OUT.match(line)]
    assert len(lines) > 25

    for line in lines:
        # It needs a terminal to ask for confirmation, and the simulated pulumi does not delete the SSM parameter.
        if line == "retailpipe cleanup":
            line += " --yes"
            walk.client("ssm").delete_parameter(Name=walk.outputs["parameter"])
        done = subprocess.run(["bash", "-c", line], cwd=project, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"

    assert (project / "destroyed").exists()
    assert "nothing is left of stack walk" in done.stdout
    walk.close()
