"""`class init --state`: create the bucket and the key of Pulumi's state, and write them into the class file.

The class file is edited in place: its comments and its layout are kept.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from retailpipe.aws.session import Aws
from retailpipe.aws.state_bucket import create_state, removal_commands
from retailpipe.aws.state_names import StateNames
from retailpipe.classroom.account import checked_account
from retailpipe.classroom.class_file import ClassFile
from retailpipe.errors import ClassError
from retailpipe.reports import Report

_HEADING = re.compile(r"""\s*\[\s*["']?state["']?\s*\]\s*(#.*)?""")
_DRAFTED = ("# [state]", '# url = "s3://BUCKET"', '# secrets_provider = "awskms://alias/NAME"')
"""The lines of a drafted class file that are replaced."""
_BOM = "\ufeff"


@dataclass(frozen=True)
class StateReport(Report):
    """The state of a class.

    url, secrets_provider: as Pulumi takes them. done: what was created or changed; empty if all was there.
    """

    file: Path
    account: str
    region: str
    bucket: str
    url: str
    secrets_provider: str
    done: tuple[str, ...]

    def __str__(self) -> str:
        return f"the state of the class is in {self.url}, its secrets are encrypted with {self.secrets_provider}"


def init_state(file: ClassFile, aws: Aws) -> StateReport:
    """Create the bucket and the key in the account and region of a class, and write them into its class file.

    A second call changes nothing; a call that was interrupted is completed.

    aws: clients for the region of the class file.
    Raises ClassError, before anything is created, if the class file has another state, or the state's folder has
    stacks; AwsError if the credentials are of another account, or the bucket or the key is not this class's;
    SettingsError if AWS does not accept the project's name.
    """
    names = StateNames(file.project, checked_account(file, aws), file.region)
    wanted = {"url": names.url, "secrets_provider": names.secrets_provider}
    edited = _edited(file.file, wanted)
    if edited is not None:
        _check_no_stacks(file)
    done = create_state(names, aws)
    if edited is not None:
        _write(file.file, edited)
        done = (*done, f"wrote [state] into {file.file}")
    return StateReport(file.file, names.account, names.region, names.bucket, **wanted, done=done)


def removal_of_state(file: ClassFile, account: str, aws: Aws) -> tuple[str, ...]:
    """Return the shell commands that remove the state of a class, which no command of the class does.

    Empty if the state is in a place of the user's own, such as another bucket.
    """
    names = StateNames(file.project, account, file.region)
    if file.state_url == names.url:
        return removal_commands(names, aws)
    folder = _state_folder(file)
    if folder and folder.is_dir() and folder.resolve().is_relative_to(file.folder.resolve()):
        return (f"rm -r {shlex.quote(str(folder))}",)
    return ()


def _edited(path: Path, wanted: dict[str, str]) -> str | None:
    """The text of the class file with the state; None if it has it already. Raises ClassError if it has another."""
    text = _read(path)
    data = _parsed(text)
    state: object = data.get("state", {})
    found = cast("dict[str, object]", state) if isinstance(state, dict) else {}
    if others := [f"{key} = {found[key]!r}" for key, value in wanted.items() if found.get(key, value) != value]:
        values = " and ".join(f"{key} = {value!r}" for key, value in wanted.items())
        raise ClassError(
            f"{path}: [state] has {' and '.join(others)}, but the state of this class would have {values}; nothing was "
            "created",
            hint="To keep your own state, do not use --state. Otherwise delete these lines of [state], and move the "
            "stacks with `pulumi stack export` and `pulumi stack import`.",
        )
    missing = {key: value for key, value in wanted.items() if key not in found}
    if not missing:
        return None
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(ending)
    added = [f"{key} = {json.dumps(value)}" for key, value in missing.items()]
    if at := _heading(lines):
        lines[at:at] = added
    elif (at := _drafted(lines)) is not None:
        lines[at : at + len(_DRAFTED)] = ["[state]", *added]
    else:
        while lines and not lines[-1].strip():
            lines.pop()
        lines += ["", "[state]", *added, ""]
    result = ending.join(lines)
    # Where this file has the state in another form, such as state = {...}, the edit is wrong and is not used.
    try:
        is_right = _parsed(result) == {**data, "state": {**found, **missing}}
    except ValueError:
        is_right = False
    if not is_right:
        raise ClassError(
            f"{path}: cannot add [state] to this file; nothing was created",
            hint=f"Write it yourself: [state] with the lines {' and '.join(added)}. Then run the command again.",
        )
    return result


def _heading(lines: Sequence[str]) -> int:
    """The number of the line after [state]; 0 if there is no such line."""
    return next((n for n, line in enumerate(lines, start=1) if _HEADING.fullmatch(line)), 0)


def _drafted(lines: Sequence[str]) -> int | None:
    """The index of the first of the drafted lines; None if they are not there."""
    count = len(_DRAFTED)
    return next((n for n in range(len(lines)) if tuple(lines[n : n + count]) == _DRAFTED), None)


def _check_no_stacks(file: ClassFile) -> None:
    """Raise ClassError if the folder that has been the state until now contains stacks: they would be lost."""
    folder = _state_folder(file)
    stacks = sorted(folder.glob(".pulumi/stacks/**/*.json")) if folder else []
    if stacks:
        names = ", ".join(path.stem for path in stacks)
        raise ClassError(
            f"the state of this class is in {folder}, and has stacks: {names}; nothing was created",
            hint="Remove the stacks with `retailpipe class down`, or move them with `pulumi stack export` and `pulumi "
            "stack import`.",
        )


def _state_folder(file: ClassFile) -> Path | None:
    url = urlsplit(file.state_url)
    return Path(unquote(url.path)) if url.scheme == "file" else None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ClassError(f"cannot read {path}: {error}", hint="Check the file and its rights.") from error


def _parsed(text: str) -> dict[str, Any]:
    return tomllib.loads(text.removeprefix(_BOM))


def _write(path: Path, text: str) -> None:
    """Replace a file at once, with its rights. A symbolic link stays a link."""
    path = path.resolve()
    try:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(text.encode())
        Path(file.name).chmod(path.stat().st_mode & 0o777)
        Path(file.name).replace(path)
    except OSError as error:
        raise ClassError(
            f"cannot write {path}: {error.strerror}; the bucket and the key exist",
            hint="Check the rights of the folder, then run the command again.",
        ) from error
