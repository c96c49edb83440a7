"""The embedded PostgreSQL: made when first needed, shared by all processes of an environment, stopped on request.

It listens on 127.0.0.1 alone, and takes only the password in the environment's passfile, which its owner alone can
read. As root the server runs as `nobody`; where that account cannot reach the environment's folder, the data lie under
/var/lib/retailpipe and `postgres` in the environment's folder is a link to them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psutil
from filelock import FileLock, Timeout

from retailpipe.errors import ServerError
from retailpipe.local.binaries import ROOT_HOME, Account, Binaries

USER = "retailpipe"
DATABASE = "retailpipe"

_HOST = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below the ports which systems give to outgoing connections."""
_LOCK_SECONDS = 120
_START_SECONDS = 60
_RETRY_SECONDS = 20
_MAX_LOG_SIZE = 10_000_000
_SETTINGS_FILE = "retailpipe.conf"
_SETTINGS = """\
# Written by retailpipe at every start of the server.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = 'warning'
log_line_prefix = '%m [%p] '
# One machine, one person: what is built here can be built again, so speed comes before a standby's needs.
wal_level = 'minimal'
max_wal_senders = 0
synchronous_commit = off
max_wal_size = '2GB'
checkpoint_timeout = '15min'
shared_buffers = '128MB'
work_mem = '64MB'
maintenance_work_mem = '128MB'
jit = off
"""


class EmbeddedServer:
    """The PostgreSQL server of the environment in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / "postgres"
        self._passfile = folder / "pgpass"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._home.resolve() / "server.log"

    @property
    def is_running(self) -> bool:
        return self._port_if_ready() is not None

    def start(self) -> str:
        """Starts the server unless it runs, making it first where there is none; gives `url()`.

        Safe to call from several processes at once. Raises ServerError with the end of the server's log.
        """
        port = self._port_if_ready()
        if port is None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with self._lock():
                    port = self._port_if_ready() or self._start()
            except OSError as error:
                raise ServerError(f"the database in {self._home} cannot be made: {error}", hint=_SPACE_HINT) from error
        return self._url(port)

    def stop(self) -> bool:
        """Stops the server after open transactions were rolled back. False if it did not run."""
        if not self._folder.exists():
            return False
        with self._lock():
            return self._stop()

    def destroy(self) -> None:
        """Stops the server and removes its data, its log and its password."""
        if not self._folder.exists():
            return
        with self._lock():
            self._stop()
            if self._home.is_symlink():
                shutil.rmtree(self._home.resolve(), ignore_errors=True)
                self._home.unlink()
            elif self._home.exists():
                shutil.rmtree(self._home)
            self._passfile.unlink(missing_ok=True)
        self._lock_file.unlink(missing_ok=True)

    def url(self) -> str | None:
        """A URI that psql and every program with libpq takes as it is; None if the server does not run.

        The password is not in it, but the name of the passfile is.
        """
        port = self._port_if_ready()
        return None if port is None else self._url(port)

    @property
    def _data(self) -> Path:
        return self._home.resolve() / "data"

    @property
    def _lock_file(self) -> Path:
        return self._folder / ".postgres.lock"

    def _lock(self) -> FileLock:
        lock = FileLock(self._lock_file, timeout=_LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout as error:
            raise ServerError(
                f"another process has held {self._lock_file} for {_LOCK_SECONDS} s",
                hint="Wait for it, or end it.",
            ) from error
        return lock

    def _url(self, port: int) -> str:
        passfile = quote(str(self._passfile.absolute()), safe="/")
        return f"postgresql://{USER}@{_HOST}:{port}/{DATABASE}?passfile={passfile}"

    def _port_if_ready(self) -> int | None:
        """The port of the running server, from the pid file that PostgreSQL keeps beside its data."""
        try:
            # pid, data folder, start time, port, socket folder, address, shared memory, status
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            pid, started, port, status = int(lines[0]), int(lines[2]), int(lines[3]), lines[7]
        except (OSError, IndexError, ValueError):
            return None
        return port if status.strip() == "ready" and _is_postmaster(pid, started) else None

    def _start(self) -> int:
        account = Account.current()
        binaries = Binaries.find(account)
        if not (self._data / "PG_VERSION").exists():
            self._initialise(binaries)
        found = int((self._data / "PG_VERSION").read_text().split(".")[0])
        if found != binaries.major_version:
            raise ServerError(
                f"the data in {self._data} are of PostgreSQL {found}, the programs in {binaries.folder} of "
                f"{binaries.major_version}",
                hint=f"Set RETAILPIPE_PG_BIN to programs of PostgreSQL {found}, or `retailpipe local destroy`.",
            )
        self._remove_stale_pid_file()
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_SIZE:
            self.log.replace(self.log.with_suffix(".log.1"))
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            port = self._free_port()
            settings = self._data / _SETTINGS_FILE
            settings.write_text(_SETTINGS.format(port=port))
            settings.chmod(0o600)
            account.own(settings)
            start = [binaries.folder / "pg_ctl", "start", "-w", "-t", str(_START_SECONDS), "-D", self._data]
            if _run([*start, "-l", self.log], binaries, self._home / "pg_ctl.log"):
                break
            # After a kill of the postmaster its children hold the shared memory for some seconds.
            if time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL does not start; its log {self.log} ends:\n{self._log_end()}")
            time.sleep(0.5)
        self._create_database(port)
        return port

    def _initialise(self, binaries: Binaries) -> None:
        account = binaries.account
        if not self._home.exists():
            self._make_home(account)
        password = secrets.token_urlsafe(24)
        with tempfile.TemporaryDirectory(dir=self._home.resolve()) as name:
            temporary = Path(name)
            account.own(temporary)
            _write_secret(temporary / "password", password)
            account.own(temporary / "password")
            locale = ["--locale=C.UTF-8"]
            if binaries.major_version >= 17:
                locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            command = [
                binaries.folder / "initdb",
                "-D",
                temporary / "data",
                "-U",
                USER,
                "-E",
                "UTF8",
                *locale,
            ]
            command += ["-A", "scram-sha-256", "--pwfile", temporary / "password", "--no-instructions"]
            log = self._home / "initdb.log"
            if not _run(command, binaries, log):
                raise ServerError(
                    f"the database in {self._home} cannot be made: {log.read_text(errors='replace')[-2000:].strip()}",
                    hint=_SPACE_HINT,
                )
            with (temporary / "data" / "postgresql.conf").open("a") as settings:
                settings.write(f"\ninclude '{_SETTINGS_FILE}'\n")
            _write_secret(self._passfile, f"{_HOST}:*:*:{USER}:{password}\n")
            (temporary / "data").rename(self._data)

    def _make_home(self, account: Account) -> None:
        if account.reaches(self._folder):
            self._home.mkdir(mode=0o700)
        else:
            name = hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest()[:16]
            elsewhere = ROOT_HOME / name
            ROOT_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
            elsewhere.mkdir(mode=0o700, exist_ok=True)
            self._home.symlink_to(elsewhere)
        account.own(self._home.resolve())

    def _create_database(self, port: int) -> None:
        from adbc_driver_postgresql import dbapi

        url = self._url(port).replace(f"/{DATABASE}?", "/postgres?")
        with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("select from pg_database where datname = $1", (DATABASE,))
            if not cursor.fetchall():
                cursor.execute(f"create database {DATABASE}")

    def _stop(self) -> bool:
        if self._port_if_ready() is None:
            return False
        binaries = Binaries.find(Account.current())
        command = [binaries.folder / "pg_ctl", "stop", "-w", "-m", "fast", "-D", self._data]
        if not _run(command, binaries, self._home / "pg_ctl.log"):
            raise ServerError(f"PostgreSQL does not stop; its log {self.log} ends:\n{self._log_end()}")
        return True

    def _remove_stale_pid_file(self) -> None:
        """Removes the pid file of a server that is gone, whose pid another program has now.

        PostgreSQL itself would take that program for the server, and refuse to start.
        """
        file = self._data / "postmaster.pid"
        try:
            lines = file.read_text().splitlines()
            pid, started = int(lines[0]), int(lines[2])
        except FileNotFoundError:
            return
        except (IndexError, ValueError):
            file.unlink()
            return
        if not _is_postmaster(pid, started):
            file.unlink()

    def _free_port(self) -> int:
        """The port used last if it is free, or else a free one; the same for a folder whenever it can be."""
        settings = self._data / _SETTINGS_FILE
        wanted = [int(hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest(), 16) % len(_PORTS) + _PORTS[0]]
        if settings.exists():
            used = [line for line in settings.read_text().splitlines() if line.startswith("port = ")]
            wanted = [*(int(line.removeprefix("port = ")) for line in used), *wanted]
        wanted += [secrets.choice(_PORTS) for _ in range(100)]
        for port in wanted:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((_HOST, port))
                except OSError:
                    continue
                return port
        raise ServerError(f"no free port on {_HOST} was found", hint="End some programs that listen there.")

    def _log_end(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
        except OSError:
            return "(it is not there)"


_SPACE_HINT = "Check that the folder can be written and its disk has some 100 MB free, or name another with --local."


def _is_postmaster(pid: int, started: int) -> bool:
    """Whether the process of a pid file is the one that wrote it, and no later one with the same pid."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= started + 2
    except psutil.Error:
        return False


def _write_secret(file: Path, content: str) -> None:
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as target:
        target.write(content)


def _run(command: list[str | Path], binaries: Binaries, log: Path) -> bool:
    """Runs a program of PostgreSQL's as its account, with what it says in a file: with pipes, pg_ctl can hang."""
    account = binaries.account
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            cwd="/",
            env=binaries.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
            user=account.user_id,
            group=account.group_id,
            extra_groups=account.groups,
        )
    return done.returncode == 0
