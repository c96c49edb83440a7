"""The embedded PostgreSQL: made when first needed, shared by all processes of an environment, stopped on request.

It listens on 127.0.0.1 alone, and takes only the password in the environment's passfile, which its owner alone can
read. As root the server runs as `nobody`; where that account cannot reach the environment's folder, the data lie under
/var/lib/retailpipe and `postgres` in the environment's folder is a link to them.

Names of folders may hold any sign: none of them is ever given to a shell.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from retailpipe.errors import ServerError
from retailpipe.local.binaries import Account, Binaries, root_home

USER = "retailpipe"
"""Owns the database, and has no right beyond it."""
DATABASE = "retailpipe"
READER = "retailpipe_reader"
"""Reads what the user makes, and can do nothing else."""
SUPERUSER = "postgres"
"""Nothing here connects as it; for whoever wants an extension, say, its password is in the passfile too."""

_HOST = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below the ports which systems give to outgoing connections."""
_LOCK_SECONDS = 120
_START_SECONDS = 60
_RETRY_SECONDS = 20
_MAX_LOG_SIZE = 10_000_000
_PID_FILE = "postmaster.pid"
_PASSES_BY_ITSELF = re.compile(r"lock file .* already exists|shared memory block|still in use|could not bind")
"""What a server says that starts before all of a killed one has ended."""
_SETTINGS = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    # One machine, one person: what is built here can be built again, so speed comes before a standby's needs.
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "shared_buffers": "128MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "128MB",
    "jit": "off",
}


class EmbeddedServer:
    """The PostgreSQL server of the environment in a folder. Every method raises ServerError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / "postgres"
        self._passfile = folder / "pgpass"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._folder / "postgres.log"

    @property
    def is_running(self) -> bool:
        return self._running() is not None

    def start(self) -> str:
        """Starts the server unless it runs, making it first where there is none; gives `url()`.

        Safe to call from several processes at once.
        """
        port = self._running()
        if port is None or not self._passfile.exists():
            with self._alone():
                if not self._passfile.exists() and (self._data / "PG_VERSION").exists():
                    self._stop()
                    self._give_passwords(Binaries.find(Account.current()))
                port = self._running() or self._start()
        return self._url(port)

    def stop(self) -> bool:
        """Stops the server; open transactions are rolled back. False if it did not run."""
        if not self._home.exists():
            return False
        with self._alone():
            return self._stop()

    def destroy(self) -> bool:
        """Stops the server and removes its data, its log and its password. False if there was none."""
        if not (self._home.exists() or self._home.is_symlink()):
            return False
        with self._alone():
            self._stop()
            if self._home.is_symlink():
                shutil.rmtree(self._home.resolve(), ignore_errors=True)
                self._home.unlink()
            elif self._home.exists():
                shutil.rmtree(self._home)
            for file in (self._passfile, self._port_file, self.log, self.log.with_suffix(".log.1")):
                file.unlink(missing_ok=True)
        return True

    def url(self) -> str | None:
        """A URI that psql and every program with libpq takes as it is; None if the server does not run.

        The password is not in it, but the name of the passfile is.
        """
        port = self._running()
        return None if port is None else self._url(port)

    def readers_url(self, url: str) -> str:
        """The URI of the role that can only read, given `url()`; that one itself where the server has no such role."""
        try:
            has_reader = f":{READER}:" in self._passfile.read_text()
        except OSError:
            has_reader = False
        return url.replace(f"//{USER}@", f"//{READER}@", 1) if has_reader else url

    @property
    def _data(self) -> Path:
        return self._home.resolve() / "data"

    @property
    def _lock_file(self) -> Path:
        return self._folder / ".postgres.lock"

    @property
    def _port_file(self) -> Path:
        return self._folder / ".postgres.port"

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Keeps other processes from starting or stopping the server meanwhile."""
        from filelock import FileLock, Timeout

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock_file, timeout=_LOCK_SECONDS):
                yield
        except Timeout as error:
            message = f"another process has held {self._lock_file} for {_LOCK_SECONDS} s"
            raise ServerError(message, hint="Wait for it, or end it.") from error
        except OSError as error:
            raise ServerError(f"the database in {self._home} cannot be managed: {error}", hint=_SPACE_HINT) from error

    def _url(self, port: int) -> str:
        passfile = quote(str(self._passfile.absolute()), safe="/")
        return f"postgresql://{USER}@{_HOST}:{port}/{DATABASE}?passfile={passfile}"

    def _running(self) -> int | None:
        """The port of the server, if it runs and takes connections."""
        state = self._state()
        return state.port if state and state.is_ready else None

    def _state(self) -> _State | None:
        """What the pid file beside the data says, if the server that wrote it is alive."""
        try:
            # pid, data folder, start time, port, socket folder, address, shared memory, status
            lines = (self._data / _PID_FILE).read_text().splitlines()
            pid = int(lines[0])
            # Another program may have the pid by now, or have had it in a container this folder was copied from.
            if _working_folder(pid) != self._data:
                return None
            if len(lines) < 8:
                return _State(pid, 0, is_ready=False)
            return _State(pid, int(lines[3]), is_ready=lines[7].strip() == "ready")
        except (OSError, IndexError, ValueError):
            return None

    def _start(self) -> int:
        binaries = Binaries.find(Account.current())
        if not (self._data / "PG_VERSION").exists():
            self._initialise(binaries)
        found = int((self._data / "PG_VERSION").read_text().split(".")[0])
        if found != binaries.major_version:
            raise ServerError(
                f"the data in {self._data} are of PostgreSQL {found}, the programs in {binaries.folder} of "
                f"{binaries.major_version}",
                hint=f"Set RETAILPIPE_PG_BIN to programs of PostgreSQL {found}, or `retailpipe local destroy`.",
            )
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_SIZE:
            self.log.replace(self.log.with_suffix(".log.1"))
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            begins = self.log.stat().st_size if self.log.exists() else 0
            port = self._start_once(binaries)
            if port is not None:
                return port
            said = self._log_after(begins)
            # After a kill of the postmaster its children hold the shared memory for some seconds.
            if time.monotonic() > deadline or not _PASSES_BY_ITSELF.search(said):
                told = "\n".join(said.splitlines()[-8:])
                hint = f"See the whole of {self.log}; if nothing else helps, `retailpipe local destroy` and load again."
                raise ServerError(f"PostgreSQL does not start; its log {self.log} ends:\n{told}", hint=hint)
            time.sleep(0.5)

    def _start_once(self, binaries: Binaries) -> int | None:
        """The port once the server takes connections; None if it ended. A start already under way is waited for."""
        process = None
        if self._state() is None:
            self._remove_strange_pid_file()
            port = self._free_port()
            self._port_file.write_text(f"{port}\n")
            settings = {**_SETTINGS, "port": port}
            command = [binaries.folder / "postgres", "-D", self._data]
            command += [f"--{name}={value}" for name, value in settings.items()]
            self.log.touch(mode=0o600)
            with self.log.open("ab") as log:
                # Not by pg_ctl, which hands names of folders to a shell.
                process = binaries.start(command, subprocess.DEVNULL, log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if (port := self._running()) is not None:
                if process:
                    process.returncode = 0  # it outlives this process, which shall not complain of that
                return port
            ended = process.poll() is not None if process else self._state() is None
            if ended:
                return None
            time.sleep(0.02)
        return None

    def _initialise(self, binaries: Binaries) -> None:
        account = binaries.account
        self._make_home(account)
        home = self._home.resolve()
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
            # Here rather than over a connection: once the server is seen, its database and its roles are there.
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
            self._give_passwords(binaries, data)
            data.rename(self._data)
        finally:
            shutil.rmtree(data, ignore_errors=True)

    def _give_passwords(self, binaries: Binaries, data: Path | None = None) -> None:
        """Gives each role a new password, and writes them into the passfile. The server must not run."""
        passwords = {role: secrets.token_urlsafe(24) for role in (USER, READER, SUPERUSER)}
        changes = [f"alter role {role} password '{password}'" for role, password in passwords.items()]
        self._tell(data or self._data, "postgres", binaries, *changes)
        lines = [f"{_HOST}:*:*:{role}:{password}\n" for role, password in passwords.items()]
        _write_secret(self._passfile, "".join(lines))

    def _tell(self, data: Path, database: str, binaries: Binaries, *statements: str) -> None:
        """Runs statements in a database whose server does not run."""
        command = [binaries.folder / "postgres", "--single", "-D", data, database]
        self._run(command, binaries, said="".join(f"{statement}\n" for statement in statements))

    def _make_home(self, account: Account) -> None:
        if not self._home.exists():
            self._home.unlink(missing_ok=True)  # a link whose folder is gone
            if account.reaches(self._folder):
                self._home.mkdir(mode=0o700)
            else:
                self._home.symlink_to(tempfile.mkdtemp(dir=root_home(), prefix="postgres-"))
        account.own(self._home.resolve())

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
            raise ServerError(f"the database in {self._home} cannot be made: {' '.join(reasons)}", hint=_SPACE_HINT)

    def _stop(self) -> bool:
        import psutil

        state = self._state()
        if state is None:
            return False
        try:
            process = psutil.Process(state.pid)
            process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            process.wait(_START_SECONDS)
        except psutil.TimeoutExpired as error:
            raise ServerError(f"PostgreSQL does not stop; see its log {self.log}", hint="Try again.") from error
        except psutil.NoSuchProcess:
            pass
        return True

    def _free_port(self) -> int:
        """The port used last if it is free, or else a free one; the same for a folder whenever it can be."""
        wanted = [int(hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest(), 16) % len(_PORTS) + _PORTS[0]]
        with suppress(OSError, ValueError):
            wanted.insert(0, int(self._port_file.read_text()))
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

    def _remove_strange_pid_file(self) -> None:
        """Removes a pid file whose pid another program has: PostgreSQL would take that for a server of its own.

        Any other that a server left behind PostgreSQL removes itself, and knows better when.
        """
        import psutil

        file = self._data / _PID_FILE
        try:
            strange = psutil.pid_exists(int(file.read_text().splitlines()[0]))
        except FileNotFoundError:
            return
        except (OSError, IndexError, ValueError, OverflowError):  # no pid at all
            strange = True
        if strange and self._state() is None:
            file.unlink(missing_ok=True)

    def _log_after(self, begins: int) -> str:
        try:
            return self.log.read_bytes()[begins:].decode(errors="replace")
        except OSError:
            return "(it is not there)"


@dataclass(frozen=True)
class _State:
    """A server that is alive: the number of its process, its port, and whether it takes connections yet."""

    pid: int
    port: int
    is_ready: bool


_SPACE_HINT = "Check that the folder can be written and its disk has some 100 MB free, or name another with --local."


def _working_folder(pid: int) -> Path | None:
    """The folder in which a living process works; None if there is no such process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink()  # Linux; to import psutil takes a tenth of a short command's time
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else Path(process.cwd())
    except psutil.Error:
        return None


def _write_secret(file: Path, content: str) -> None:
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as target:
        target.write(content)
