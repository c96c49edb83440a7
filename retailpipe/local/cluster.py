"""The data folder of an embedded PostgreSQL: its database, its roles and their passwords.

All of it is created before the first server starts, by `initdb` and by `postgres --single`, which need no server. So
the database and the roles always exist when another process sees a running server.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from retailpipe.errors import ServerError
from retailpipe.folders import DATA, LOG, PASSFILE
from retailpipe.local.binaries import Account, Binaries, root_home
from retailpipe.local.remains import is_incomplete, write_note

USER = "retailpipe"
"""The role that owns the database. It has no rights outside it."""
DATABASE = "retailpipe"
READER = "retailpipe_reader"
"""The role that can only read what the owner creates; `retailpipe query` uses it."""
SUPERUSER = "postgres"
"""retailpipe never connects as the superuser. Its password is in the passfile, for example to install an extension."""
HOST = "127.0.0.1"
_FOR_OWNER = """
do $$
declare called regprocedure;
begin
    for called in
        select oid from pg_proc
        where pronamespace = 'pg_catalog'::regnamespace
            and (proname ~ '^pg_(try_)?advisory_' or proname in ('pg_notify', 'pg_logical_emit_message'))
    loop
        execute format('revoke execute on function %s from public', called);
        execute format('grant execute on function %s to OWNER', called);
    end loop;
end $$
""".replace("OWNER", USER)
"""Takes functions from all other roles: they hold the locks of loads, or write, even in a read-only transaction."""
_ROLES = (
    f"create role {USER} login",
    f"create role {READER} login",
    f"alter role {READER} set default_transaction_read_only = on",
    f"alter role {READER} set temp_file_limit = '10GB'",  # a query must not fill the disk
    f"create database {DATABASE} owner {USER}",
)
_RIGHTS = (
    " ".join(_FOR_OWNER.split()),
    f"alter default privileges for role {USER} grant usage on schemas to {READER}",
    f"alter default privileges for role {USER} grant select on tables to {READER}",
)
"""Statements in the database, which other databases of the server are not affected by."""
PORT_FILE = ".postgres.port"
"""The file in the environment's folder with the port that was used last."""
SPACE_HINT = "Check that the folder is writable and its disk has 100 MB free, or choose another folder with --local."


class Cluster:
    """The PostgreSQL data of the environment in a folder. PostgreSQL's documentation calls this a database cluster.

    home: the folder that contains the data; a link if the server's account cannot reach the environment's folder.
    passfile: the file with the passwords, readable only by its owner.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.home = folder / DATA
        self.passfile = folder / PASSFILE

    @property
    def data(self) -> Path:
        """The data folder of PostgreSQL. It is renamed to this name as the last step: if it exists, it is complete."""
        return self.home.resolve() / "data"

    @property
    def has_reader(self) -> bool:
        """Whether the read-only role exists. It does not in data that an earlier version of retailpipe created."""
        return self._has_role(READER)

    def check_own(self) -> None:
        """Raise ServerError if a file or folder with one of our names was not made by retailpipe.

        `--local` may name a project of the user that has its own folder `postgres`, such as the data of a container.
        Nothing there may be changed or deleted. A database always has one of two marks: the passfile is written before
        its data are complete, and the port file before its server starts.
        """
        if (self._folder / PORT_FILE).exists() or self._has_role(USER):
            return
        for path in (self.home, self.passfile, self._folder / LOG):
            if os.path.lexists(path) and not (path == self.home and self._is_unfinished()):
                raise ServerError(
                    f"{path} was not made by retailpipe, so {self._folder} cannot be an environment",
                    hint=f"Choose another folder with --local, or move {path.name} away.",
                )

    def mend_passfile(self) -> bool:
        """Correct the mode of the passfile, because libpq ignores a file that others can read.

        Returns False if the passfile must be made again: it is lost, not a file, or lacks the line of a role. The
        earliest data have only the role USER, and later ones no SUPERUSER, so only a file with SUPERUSER must have all.
        """
        try:
            found = self.passfile.lstat()
            is_usable = found.st_mode & 0o077 == 0 and found.st_mode & stat.S_IRUSR
            if stat.S_ISREG(found.st_mode) and not is_usable and found.st_uid == os.geteuid():
                self.passfile.chmod(0o600)
            if not self.passfile.is_file():
                return False
            content = self.passfile.read_text(errors="replace")
        except PermissionError:  # new passwords would not help a user who cannot read them
            return True
        except OSError:
            return False
        return f":{USER}:" in content and (f":{READER}:" in content or f":{SUPERUSER}:" not in content)

    def delete_passfile(self) -> None:
        """Delete the passfile, or an empty folder in its place. A folder with files is kept: they are not ours."""
        if self.passfile.is_dir() and not self.passfile.is_symlink():
            with suppress(OSError):
                self.passfile.rmdir()
        else:
            self.passfile.unlink(missing_ok=True)

    def make(self, binaries: Binaries) -> None:
        """Create the data, the database and the roles. Raises ServerError."""
        account = binaries.account
        self._make_home(account)
        home = self.home.resolve()
        for remains in filter(is_incomplete, home.iterdir()):  # left by a process that was killed here
            shutil.rmtree(remains, ignore_errors=True)
        # Only programs that run as the account write here. If root wrote here, another process of `nobody` could
        # redirect root's writes through a link.
        data = home / f"tmp{secrets.token_hex(8)}"
        locale = ["--locale=C.UTF-8"]
        if binaries.major_version >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        password = secrets.token_urlsafe(24)
        command = [binaries.folder / "initdb", "-D", data, "-U", SUPERUSER, "-E", "UTF8", *locale]
        command += ["-A", "scram-sha-256", "--pwfile", "/dev/stdin", "--no-instructions"]
        try:
            self._run(command, binaries, stdin_text=f"{password}\n")
            self._run_statements(data, "postgres", binaries, *_ROLES)
            self._run_statements(data, DATABASE, binaries, *_RIGHTS)
            self.give_passwords(binaries, data)
            data.rename(self.data)
        finally:
            shutil.rmtree(data, ignore_errors=True)

    def give_passwords(self, binaries: Binaries, data: Path | None = None) -> None:
        """Set a new password for each role and write the passfile. The server must not be running. Raises ServerError.

        data: the data folder. Default: `self.data`.
        """
        if self.passfile.is_dir():
            self.delete_passfile()
            if self.passfile.is_dir():
                raise ServerError(
                    f"{self.passfile} is a folder with files, so the passwords cannot be written",
                    hint="Move it away, then run `retailpipe local start`.",
                )
        passwords = {role: secrets.token_urlsafe(24) for role in (USER, READER, SUPERUSER)}
        changes = [f"alter role {role} password '{password}'" for role, password in passwords.items()]
        try:
            self._run_statements(data or self.data, "postgres", binaries, *changes)
        except ServerError as error:
            # Data of an earlier version lack roles. The statements for the other roles have been run nevertheless.
            lacking = re.findall(r'role "(\w+)" does not exist', str(error))
            if USER in lacking or len(lacking) != len(re.findall("ERROR:|FATAL:|error:", str(error))):
                raise
            passwords = {role: password for role, password in passwords.items() if role not in lacking}
        lines = [f"{HOST}:*:*:{role}:{password}\n" for role, password in passwords.items()]
        _write_secret(self.passfile, "".join(lines))

    def _has_role(self, role: str) -> bool:
        """Whether the passfile has a line for a role."""
        try:
            return f":{role}:" in self.passfile.read_text(errors="replace")
        except OSError:
            return False

    def _is_unfinished(self) -> bool:
        """Whether `home` contains no more than a first start that was killed leaves, or links to no folder."""
        try:
            return not self.home.exists() or (self.home.is_dir() and all(map(is_incomplete, self.home.iterdir())))
        except OSError:
            return False

    def _run_statements(self, data: Path, database: str, binaries: Binaries, *statements: str) -> None:
        """Run statements in single-user mode. The server must not be running. Raises ServerError."""
        command = [binaries.folder / "postgres", "--single", "-D", data, database]
        self._run(command, binaries, stdin_text="".join(f"{statement}\n" for statement in statements))

    def _make_home(self, account: Account) -> None:
        """Create `home` as a folder, or as a link to a folder that the account can reach."""
        if not self.home.exists():
            self.home.unlink(missing_ok=True)  # a link to a folder that was deleted
            if account.reaches(self._folder):
                self.home.mkdir(mode=0o700)
            else:
                elsewhere = Path(tempfile.mkdtemp(dir=root_home(), prefix="postgres-"))
                write_note(elsewhere.resolve(), self._folder)
                self.home.symlink_to(elsewhere)
        account.make_owner_of(self.home.resolve())

    def _run(self, command: list[str | Path], binaries: Binaries, stdin_text: str = "") -> None:
        """Run a program and wait for it. Raises ServerError with the program's errors if it fails."""
        reading, writing = os.pipe()
        binaries.account.make_owner_of_pipe(reading)  # for programs that open it again by its name, /dev/stdin
        os.write(writing, stdin_text.encode())
        os.close(writing)
        with tempfile.TemporaryFile() as output, os.fdopen(reading, "rb") as stdin:
            code = binaries.start(command, stdin, output).wait()
            output.seek(0)
            printed = output.read().decode(errors="replace").strip()
        # `postgres --single` exits with 0 even if a statement failed.
        if code or "ERROR:" in printed or "FATAL:" in printed:
            lines = printed.splitlines()
            reasons = [line for line in lines if re.search(r"FATAL|ERROR|error:", line)] or lines[-3:]
            raise ServerError(f"cannot create the database in {self.home}: {' '.join(reasons)}", hint=SPACE_HINT)


def _write_secret(file: Path, content: str) -> None:
    """Write a file that only its owner can read. O_EXCL: never write through a link that another user made.

    It gets its name when it is complete: an empty passfile, which a kill would leave, would not be taken for ours.
    """
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as target:
        target.write(content)
    partial.replace(file)
