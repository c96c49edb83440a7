"""The embedded PostgreSQL: started when first needed, shared by all processes of an environment, stopped on request.

It listens on 127.0.0.1 alone, and takes only the password in the environment's passfile, which its owner alone can
read. As root the server runs as `nobody`; where that account cannot reach the environment's folder, the data lie under
/var/lib/retailpipe and `postgres` in the environment's folder is a link to them.

Names of folders may hold any sign: none of them is ever given to a shell.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from retailpipe.errors import ServerError
from retailpipe.local.binaries import Account, Binaries
from retailpipe.local.cluster import DATABASE, HOST, READER, SPACE_HINT, USER, Cluster

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
    "listen_addresses": HOST,
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
        self._cluster = Cluster(folder)

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
        if port is None or not self._cluster.passfile.exists():
            with self._alone():
                if not self._cluster.passfile.exists() and (self._cluster.data / "PG_VERSION").exists():
                    self._stop()
                    self._cluster.give_passwords(Binaries.find(Account.current()))
                port = self._running() or self._start()
        return self._url(port)

    def stop(self) -> bool:
        """Stops the server; open transactions are rolled back. False if it did not run."""
        if not self._cluster.home.exists():
            return False
        with self._alone():
            return self._stop()

    def destroy(self) -> bool:
        """Stops the server and removes its data, its log and its password. False if there was none."""
        if not (self._cluster.home.exists() or self._cluster.home.is_symlink()):
            return False
        with self._alone():
            self._stop()
            if self._cluster.home.is_symlink():
                shutil.rmtree(self._cluster.home.resolve(), ignore_errors=True)
                self._cluster.home.unlink()
            elif self._cluster.home.exists():
                shutil.rmtree(self._cluster.home)
            for file in (self._cluster.passfile, self._port_file, self.log, self.log.with_suffix(".log.1")):
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
        return url.replace(f"//{USER}@", f"//{READER}@", 1) if self._cluster.has_reader else url

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
            raise ServerError(
                f"the database in {self._cluster.home} cannot be managed: {error}", hint=SPACE_HINT
            ) from error

    def _url(self, port: int) -> str:
        passfile = quote(str(self._cluster.passfile.absolute()), safe="/")
        return f"postgresql://{USER}@{HOST}:{port}/{DATABASE}?passfile={passfile}"

    def _running(self) -> int | None:
        """The port of the server, if it runs and takes connections."""
        state = self._state()
        return state.port if state and state.is_ready else None

    def _state(self) -> _State | None:
        """What the pid file beside the data says, if the server that wrote it is alive."""
        try:
            # pid, data folder, start time, port, socket folder, address, shared memory, status
            lines = (self._cluster.data / _PID_FILE).read_text().splitlines()
            pid = int(lines[0])
            # Another program may have the pid by now, or have had it in a container this folder was copied from.
            if _working_folder(pid) != self._cluster.data:
                return None
            if len(lines) < 8:
                return _State(pid, 0, is_ready=False)
            return _State(pid, int(lines[3]), is_ready=lines[7].strip() == "ready")
        except (OSError, IndexError, ValueError):
            return None

    def _start(self) -> int:
        binaries = Binaries.find(Account.current())
        if not (self._cluster.data / "PG_VERSION").exists():
            self._cluster.make(binaries)
        found = int((self._cluster.data / "PG_VERSION").read_text().split(".")[0])
        if found != binaries.major_version:
            raise ServerError(
                f"the data in {self._cluster.data} are of PostgreSQL {found}, the programs in {binaries.folder} of "
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
            command = [binaries.folder / "postgres", "-D", self._cluster.data]
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
                    probe.bind((HOST, port))
                except OSError:
                    continue
                return port
        raise ServerError(f"no free port on {HOST} was found", hint="End some programs that listen there.")

    def _remove_strange_pid_file(self) -> None:
        """Removes a pid file whose pid another program has: PostgreSQL would take that for a server of its own.

        Any other that a server left behind PostgreSQL removes itself, and knows better when.
        """
        import psutil

        file = self._cluster.data / _PID_FILE
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
