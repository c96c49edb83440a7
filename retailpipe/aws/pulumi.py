"""Run the pulumi command, if it is on PATH and the current folder, or one above it, contains the Pulumi project."""

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
"""Exit codes of pulumi 3."""
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Pulumi:
    """The pulumi command for one stack of a project. folder: the folder of the project's Pulumi.yaml."""

    program: str
    folder: Path
    stack: str

    @classmethod
    def find(cls, stack: str, project: str) -> Pulumi | None:
        """Return the command, or None if it is not on PATH or the current folder does not belong to the project."""
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
        """Return the stack's outputs. Raises StackNotFound, AwsError."""
        outputs: Any = json.loads(self._run("stack", "output", "--json"))
        if not outputs:
            raise StackNotFound(f"stack {self.stack} is not deployed", hint="Deploy it with `pulumi up`.")
        return outputs

    def has_resources(self) -> bool:
        """Whether Pulumi's state contains cloud resources, including those of a failed deployment. Raises AwsError."""
        try:
            state: Any = json.loads(self._run("stack", "export"))
        except StackNotFound:
            return False
        deployment: dict[str, Any] = state.get("deployment") or {}
        resources: list[Any] = deployment.get("resources", [])
        return any(each["custom"] and not str(each["type"]).startswith("pulumi:") for each in resources)

    def config(self, name: str) -> str:
        """Return a setting of the stack; empty if it is not set."""
        value: Any = json.loads(self._run("config", "--json"))
        return next((str(each.get("value", "")) for key, each in value.items() if key.endswith(f":{name}")), "")

    def set_config(self, name: str, value: str) -> None:
        self._run("config", "set", name, value)

    def destroy(self) -> None:
        """Destroy the stack; pulumi's output goes to stderr. Raises AwsError."""
        command = [self.program, "destroy", "--yes", "--stack", self.stack, "--non-interactive"]
        if subprocess.run(command, cwd=self.folder, stdout=sys.stderr, check=False).returncode != 0:
            raise AwsError(
                f"pulumi could not destroy stack {self.stack}",
                hint=f"Read its output above, then try again: `pulumi destroy --stack {self.stack}`.",
            )

    def _run(self, *arguments: str) -> str:
        """Run a pulumi command for the stack, and return its standard output. Raises StackNotFound, AwsError."""
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
            hint = f"Run it by hand: `pulumi {' '.join(arguments)} --stack {self.stack}`."
            raise AwsError(f"pulumi did not finish within {_TIMEOUT_SECONDS} s", hint=hint, transient=True) from error
        if done.returncode == 0:
            return done.stdout
        message = done.stderr.strip().removeprefix("error: ") or f"exit code {done.returncode}"
        if done.returncode == _NO_STACK or "no stack named" in message:
            hint = "List the stacks with `pulumi stack ls`, or create it: `pulumi stack init NAME` and `pulumi up`."
            raise StackNotFound(f"pulumi has no stack {self.stack} in {self.folder}", hint=hint)
        if done.returncode == _NO_LOGIN or "pulumi login" in message or "PULUMI_ACCESS_TOKEN" in message:
            raise AwsError("pulumi is not logged in", hint="Log in: `pulumi login`, or `pulumi login --local`.")
        if "passphrase" in message:
            hint = "Set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE."
            raise AwsError(f"pulumi needs the passphrase of stack {self.stack}", hint=hint)
        raise AwsError(
            f"pulumi failed for stack {self.stack}: {message}",
            hint="Run `pulumi stack output` in the project's folder to see the complete error.",
        )
