"""The pulumi command, where it is on PATH and this folder, or one above it, is a Pulumi project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retailpipe.errors import AwsError, StackNotFound

_NO_STACK, _NO_LOGIN = 6, 3
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Pulumi:
    """The command, for one stack of a project. folder: where the project's Pulumi.yaml lies."""

    program: str
    folder: Path
    stack: str

    @classmethod
    def find(cls, stack: str, project: str) -> Pulumi | None:
        """The command, if it is there and the folder we are in belongs to that project."""
        program = shutil.which("pulumi")
        if not program:
            return None
        here = Path.cwd()
        for folder in (here, *here.parents):
            file = folder / "Pulumi.yaml"
            if file.is_file():
                lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
                names = [line.partition(":")[2].strip().strip("'\"") for line in lines if line.startswith("name:")]
                return cls(program, folder, stack) if names == [project] else None
        return None

    def outputs(self) -> dict[str, Any]:
        """What the stack exports. Raises StackNotFound, AwsError."""
        outputs: Any = json.loads(self._run("stack", "output", "--json"))
        if not outputs:
            raise StackNotFound(f"stack {self.stack} is not deployed", hint="Deploy it with `pulumi up`.")
        return outputs

    def has_resources(self) -> bool:
        """Whether pulumi knows of anything that the stack made, whole or half. Raises AwsError."""
        try:
            state: Any = json.loads(self._run("stack", "export"))
        except StackNotFound:
            return False
        deployment: dict[str, Any] = state.get("deployment") or {}
        resources: list[Any] = deployment.get("resources", [])
        return any(each["custom"] and not str(each["type"]).startswith("pulumi:") for each in resources)

    def config(self, name: str) -> str:
        """A setting of the stack; empty where it is not set."""
        value: Any = json.loads(self._run("config", "--json"))
        return next((str(each.get("value", "")) for key, each in value.items() if key.endswith(f":{name}")), "")

    def set_config(self, name: str, value: str) -> None:
        self._run("config", "set", name, value)

    def destroy(self) -> None:
        """Takes the stack down, with all that pulumi says on the standard error. Raises AwsError."""
        command = [self.program, "destroy", "--yes", "--stack", self.stack, "--non-interactive"]
        if subprocess.run(command, cwd=self.folder, stdout=sys.stderr, check=False).returncode != 0:
            raise AwsError(
                f"pulumi could not take down stack {self.stack}",
                hint=f"See what it says above, and try again: `pulumi destroy --stack {self.stack}`.",
            )

    def _run(self, *arguments: str) -> str:
        command = [self.program, *arguments, "--stack", self.stack, "--non-interactive"]
        environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", "NO_COLOR": "1"}
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            hint = f"Try it by hand: `pulumi {' '.join(arguments)} --stack {self.stack}`."
            raise AwsError(f"pulumi has not answered in {_TIMEOUT_SECONDS} s", hint=hint, transient=True) from error
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.strip().removeprefix("error: ") or f"it ended with {done.returncode}"
        if done.returncode == _NO_STACK or "no stack named" in said:
            hint = "See `pulumi stack ls`, or make it: `pulumi stack init NAME` and `pulumi up`."
            raise StackNotFound(f"pulumi knows no stack {self.stack} in {self.folder}", hint=hint)
        if done.returncode == _NO_LOGIN or "pulumi login" in said or "PULUMI_ACCESS_TOKEN" in said:
            raise AwsError("pulumi is not logged in", hint="Log in: `pulumi login`, or `pulumi login --local`.")
        if "passphrase" in said:
            hint = "Give it in PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE."
            raise AwsError(f"pulumi wants the passphrase of stack {self.stack}", hint=hint)
        raise AwsError(f"pulumi cannot tell of stack {self.stack}: {said}", hint="Try `pulumi stack output`.")
