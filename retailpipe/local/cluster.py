"""The data of an embedded PostgreSQL, with its database, its roles and their passwords.

All of that is made by programs of PostgreSQL that run without a server: once a server is seen, its database is there.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

from retailpipe.errors import ServerError
from retailpipe.local.binaries import Account, Binaries, root_home

USER = "retailpipe"
"""Owns the database, and has no right beyond it."""
DATABASE = "retailpipe"
READER = "retailpipe_reader"
"""Reads what the user makes, and can do nothing else."""
SUPERUSER = "postgres"
"""Nothing here connects as it; for whoever wants an extension, say, its password is in the passfile too."""
HOST = "127.0.0.1"
SPACE_HINT = "Check that the folder can be written and its disk has some 100 MB free, or name another with --local."


class Cluster:
    """The data of the environment in a folder; PostgreSQL calls them a cluster.

    home: holds the data; a link where the server's account cannot reach the environment's folder.
    passfile: the passwords, for their owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.home = folder / "postgres"
        self.passfile = folder / "pgpass"

    @property
    def data(self) -> Path:
        return self.home.resolve() / "data"

    @property
    def has_reader(self) -> bool:
        """Whether there is a role that can only read: data made by an earlier version have none."""
        try:
            return f":{READER}:" in self.passfile.read_text()
        except OSError:
            return False

    def make(self, binaries: Binaries) -> None:
        """Makes the data, the database and the roles. Raises ServerError."""
        account = binaries.account
        self._make_home(account)
        home = self.home.resolve()
        for remains in home.glob("tmp*"):  # of one who was killed here
            shutil.rmtree(remains, ignore_errors=True)
        # Nothing is written here but by the account itself: who runs as `nobody` could lead root astray by a link.
        data = home / f"tmp{secrets.token_hex(8)}"
        locale = ["--locale=C.UTF-8"]
        if binaries.major_version >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        password = secrets.token_urlsafe(24)
        command = [binaries.folder / "initdb", "-D", data, "-U", SUPERUSER, "-E", "UTF8", *locale]
        command += ["-A", "scram-sha-256", "--pwfile", "/dev/stdin", "--no-instructions"]
        try:
            self._run(command, binaries, said=f"{password}\n")
            self._tell(
                data,
                "postgres",
                binaries,
                f"create role {USER} login",
                f"create role {READER} login",
                f"alter role {READER} set default_transaction_read_only = on",
                f"create database {DATABASE} owner {USER}",
            )
            self._tell(
                data,
                DATABASE,
                binaries,
                f"alter default privileges for role {USER} grant usage on schemas to {READER}",
                f"alter default privileges for role {USER} grant select on tables to {READER}",
            )
            self.give_passwords(binaries, data)
            data.rename(self.data)
        finally:
            shutil.rmtree(data, ignore_errors=True)

    def give_passwords(self, binaries: Binaries, data: Path | None = None) -> None:
        """Gives each role a new password, and writes them into the passfile. The server must not run."""
        passwords = {role: secrets.token_urlsafe(24) for role in (USER, READER, SUPERUSER)}
        changes = [f"alter role {role} password '{password}'" for role, password in passwords.items()]
        self._tell(data or self.data, "postgres", binaries, *changes)
        lines = [f"{HOST}:*:*:{role}:{password}\n" for role, password in passwords.items()]
        _write_secret(self.passfile, "".join(lines))

    def _tell(self, data: Path, database: str, binaries: Binaries, *statements: str) -> None:
        """Runs statements in a database whose server does not run."""
        command = [binaries.folder / "postgres", "--single", "-D", data, database]
        self._run(command, binaries, said="".join(f"{statement}\n" for statement in statements))

    def _make_home(self, account: Account) -> None:
        if not self.home.exists():
            self.home.unlink(missing_ok=True)  # a link whose folder is gone
            if account.reaches(self._folder):
                self.home.mkdir(mode=0o700)
            else:
                self.home.symlink_to(tempfile.mkdtemp(dir=root_home(), prefix="postgres-"))
        account.own(self.home.resolve())

    def _run(self, command: list[str | Path], binaries: Binaries, said: str = "") -> None:
        """Runs a program to its end. Raises ServerError with what it wrote if it fails."""
        reading, writing = os.pipe()
        binaries.account.own_pipe(reading)  # for a program that opens it anew, as /dev/stdin
        os.write(writing, said.encode())
        os.close(writing)
        with tempfile.TemporaryFile() as output, os.fdopen(reading, "rb") as said_by_us:
            code = binaries.start(command, said_by_us, output).wait()
            output.seek(0)
            told = output.read().decode(errors="replace").strip()
        if code or "ERROR:" in told or "FATAL:" in told:
            lines = told.splitlines()
            reasons = [line for line in lines if re.search(r"FATAL|ERROR|error:", line)] or lines[-3:]
            raise ServerError(f"the database in {self.home} cannot be made: {' '.join(reasons)}", hint=SPACE_HINT)


def _write_secret(file: Path, content: str) -> None:
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as target:
        target.write(content)
