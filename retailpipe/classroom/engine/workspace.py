"""The Pulumi workspace of a class: the folder `stacks/`, with the program and the config of each stack.

The program is generated, so that no checkout is needed: it runs with this Python and this version of the library.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from pulumi.automation import LocalWorkspace, Stack, StackSettings

from retailpipe.aws.session import Aws
from retailpipe.classroom.class_file import ClassFile
from retailpipe.classroom.engine.engines import Engines

_FOLDER = "stacks"
_PASSPHRASE = "passphrase"  # noqa: S105 - the name of a file, not its content
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SECRETS = ("sourceUrl",)
"""Settings that may contain a token: they are encrypted in the config."""
_PROGRAM = '''\
"""The Pulumi program of all stacks of this class. `retailpipe class up` writes this file."""

from retailpipe.infra.program import declare

declare()
'''


class Workspace(LocalWorkspace):
    """The workspace of a class. It never selects a stack: the selection is shared by all processes of a user."""

    def __init__(self, file: ClassFile, engines: Engines, aws: Aws) -> None:
        folder = file.folder / _FOLDER
        folder.mkdir(exist_ok=True)
        project = {"name": file.project, "runtime": {"name": "python", "options": {"toolchain": "pip"}}}
        _write(folder / "Pulumi.yaml", json.dumps(project) + "\n")  # JSON is YAML
        _write(folder / "__main__.py", _PROGRAM)
        self._file, self._engines = file, engines
        super().__init__(
            work_dir=str(folder),
            env_vars=_variables(file, aws),
            secrets_provider=file.secrets_provider,
            pulumi_command=engines,
        )

    @property
    def folder(self) -> Path:
        """The folder with the program and the config."""
        return Path(self.work_dir)

    @property
    def state_url(self) -> str:
        """Where Pulumi keeps the state of the stacks."""
        return self._file.state_url

    def create_stack(self, stack_name: str) -> None:
        """Create a stack without selecting it. Raises CommandError."""
        provider = ["--secrets-provider", self._file.secrets_provider]
        self._run_pulumi_cmd_sync(["stack", "init", stack_name, *provider, "--no-select"])

    def select_stack(self, stack_name: str) -> None:
        """Check that a stack exists, without selecting it. Raises CommandError."""
        self._run_pulumi_cmd_sync(["stack", "--stack", stack_name])

    def prepared(self, name: str, config: Mapping[str, str]) -> Stack:
        """Return a stack, created if it is missing, with exactly this config. Raises CommandError."""
        stack = Stack.create_or_select(name, self)
        qualified = {f"{self._file.project}:{key}": value for key, value in config.items() if key not in _SECRETS}
        settings = self._settings(name)
        settings.config = {"aws:region": self._file.region, **qualified}
        self.save_stack_settings(name, settings)
        for key in _SECRETS:
            if key in config:
                self._encrypt(name, key, config[key])
        return stack

    def _encrypt(self, name: str, key: str, value: str) -> None:
        """Put a secret into the config of a stack, encrypted. Other users can see arguments, so it is an input."""
        arguments = ["config", "set", key, "--secret", "--stack", name]
        self._engines.run(arguments, self.work_dir, self.env_vars, text=value)

    def existing(self, name: str) -> Stack:
        """Return a stack that exists. Raises StackNotFoundError if Pulumi's state does not contain it."""
        return Stack.select(name, self)

    def names(self) -> list[str]:
        """The names of all stacks of the class in Pulumi's state. Raises CommandError."""
        return [summary.name.rpartition("/")[2] for summary in self.list_stacks()]

    def refresh(self, name: str, urns: Iterable[str] = ()) -> None:
        """Read the resources of a stack from AWS into the state: those of these URNs, else all. Raises CommandError."""
        targets = [argument for urn in urns for argument in ("--target", urn)]
        self._run_pulumi_cmd_sync(["refresh", "--yes", "--skip-preview", "--stack", name, *targets])

    def state(self, name: str) -> dict[str, Any]:
        """The state of a stack, with its secrets encrypted. Raises CommandError."""
        return json.loads(self._run_pulumi_cmd_sync(["stack", "export", "--stack", name]).stdout)

    def replace_state(self, name: str, state: Mapping[str, Any]) -> None:
        """Replace the state of a stack. Raises CommandError."""
        arguments = ["stack", "import", "--stack", name]
        self._engines.run(arguments, self.work_dir, self.env_vars, text=json.dumps(state))

    def install_provider(self) -> None:
        """Install the AWS provider once, before several engines would download it at the same time.

        Raises CommandError.
        """
        wanted = version("pulumi-aws")
        if shutil.which("pulumi-resource-aws", path=self.env_vars["PATH"]):
            return
        installed = {(plugin.name, str(plugin.version)) for plugin in self.list_plugins()}
        if ("aws", wanted) not in installed:
            self.install_plugin("aws", f"v{wanted}", "resource")

    def stale_locks(self, name: str) -> list[Path]:
        """The locks of a stack whose process, on this machine, has ended. Only state in a folder has lock files."""
        return [lock for lock in self._locks(name) if not _is_alive(lock)]

    def _locks(self, name: str) -> list[Path]:
        address = urlsplit(self._file.state_url)
        if address.scheme != "file":
            return []
        folder = Path(unquote(address.path)) / ".pulumi" / "locks"
        return [path for path in folder.rglob("*.json") if path.parent.name == name]

    def _settings(self, name: str) -> StackSettings:
        """The config file of a stack; a new one if it is missing."""
        with suppress(FileNotFoundError):
            return self.stack_settings(name)
        return StackSettings(secrets_provider=self._file.secrets_provider)


def stacks_folder(file: ClassFile) -> Path:
    """The folder with the program, the config and the logs of a class."""
    return file.folder / _FOLDER


def _variables(file: ClassFile, aws: Aws) -> dict[str, str]:
    """The environment variables of all engines of a class."""
    variables = {
        # The engine runs the first python on PATH: that of this program.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PULUMI_BACKEND_URL": file.state_url,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "VIRTUAL_ENV": sys.prefix,
        "NO_COLOR": "1",
        "AWS_REGION": file.region,
        # The engine prefers exported keys to a profile; ours prefers the profile.
        **({"AWS_PROFILE": aws.profile, **dict.fromkeys(_KEYS, "")} if aws.profile else {}),
    }
    address = urlsplit(file.state_url)
    if address.scheme == "file":
        Path(unquote(address.path)).mkdir(parents=True, exist_ok=True, mode=0o700)
    own = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
    if file.secrets_provider == "passphrase" and not any(name in os.environ for name in own):
        variables["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(file.folder / _PASSPHRASE))
    return variables


def _passphrase(path: Path) -> Path:
    """The file with the passphrase of the class, which only its owner can read; it is made on first use."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path


def _write(path: Path, text: str) -> None:
    """Write a file, unless it has this content: another process may be reading it."""
    with suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == text:
            return
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _is_alive(lock: Path) -> bool:
    """Whether the process that holds a lock may still run: it does, or it is on another machine."""
    import socket

    import psutil

    try:
        content = cast("dict[str, Any]", json.loads(lock.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return lock.exists()
    if content.get("hostname") != socket.gethostname():
        return True
    try:
        return "pulumi" in psutil.Process(int(content.get("pid", 0))).name()
    except psutil.AccessDenied:  # a process of another user
        return True
    except (psutil.NoSuchProcess, ValueError, TypeError):
        return False
