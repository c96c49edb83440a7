"""Start, stop and delete the embedded PostgreSQL server of an environment.

The server starts when it is first needed, is shared by all processes of the environment, and stops on request. It
listens only on 127.0.0.1 and requires the password in the environment's passfile, which only its owner can read.

Starting, stopping and deleting hold the file lock `.postgres.lock`. Whether a server is running is read without the
lock, from the pid file that PostgreSQL keeps.

For root, the server runs as `nobody`. If that account cannot reach the environment's folder, the data are stored under
/var/lib/retailpipe, and `postgres` in the environment's folder is a link to them.

Folder names may contain any character except line breaks, so no name is ever passed to a shell.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from retailpipe import register
from retailpipe.errors import ServerError, WarehouseError
from retailpipe.folders import LAST_LOAD, LOG, check_name, make_folder
from retailpipe.local.binaries import Account, Binaries
from retailpipe.local.cluster import DATABASE, HOST, PORT_FILE, READER, SPACE_HINT, USER, Cluster
from retailpipe.local.process import PID_FILE, STOP_SECONDS, ServerProcess, pid_in
from retailpipe.local.remains import delete_data, write_note

_PORTS = range(20_000, 32_000)
"""Below the ports that operating systems use for outgoing connections."""
_LOCK_SECONDS = 120
_START_SECONDS = 60
"""How long to wait for one start."""
_RETRY_SECONDS = 20
"""How long a start is retried after a transient failure."""
_ENDING_SECONDS = 2
"""How long to wait for a killed server to end."""
_MAX_LOG_SIZE = 10_000_000
_TRANSIENT_FAILURE = re.compile(r"lock file .* already exists|shared memory block|still in use|could not bind")
"""Log messages of a server that starts before all processes of a killed server have ended; a retry succeeds."""
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    # The data can be rebuilt from the workbooks and there is no standby server, so speed is more important.
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "shared_buffers": "128MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "128MB",
    "jit": "off",
    # End the query of a program that was killed: nobody waits for its rows.
    "client_connection_check_interval": "5s",
}


class EmbeddedServer:
    """The PostgreSQL server of the environment in a folder. Every method can raise ServerError.

    created: whether this object has created the database.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster = Cluster(folder)
        self.created = False

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder / LOG

    @property
    def is_running(self) -> bool:
        """Whether the server is running and accepts connections."""
        return self._running() is not None

    @property
    def process(self) -> ServerProcess | None:
        """The process of the server; None if it is not running."""
        return ServerProcess.of(self._cluster.data)

    @property
    def has_database(self) -> bool:
        """Whether there is a database; False if the folder cannot be read."""
        try:
            return (self._cluster.data / "PG_VERSION").exists()
        except OSError:
            return False

    def start(self) -> str:
        """Start the server if it is not running and return its URL, as `url` does.

        Creates the database first if there is none. Safe to call from several processes at once. Raises UsageError if
        no environment can be in a folder of this name.
        """
        check_name(self._folder)
        self._check_own()
        port = self._running()
        if not self._cluster.mend_passfile() or port is None:
            with self._locked():
                if not self._cluster.mend_passfile() and (self._cluster.data / "PG_VERSION").exists():
                    self._stop()
                    self._cluster.give_passwords(Binaries.find(Account.current()))
                port = self._running() or self._start()
        return self._url(port)

    def stop(self) -> bool:
        """Stop the server; open transactions are rolled back. Returns False if it was not running."""
        self._check_own()
        if not self._cluster.home.exists():
            return False
        with self._locked():
            return self._stop()

    def destroy(self) -> bool:
        """Stop the server and delete its data, log and passwords. Returns False if there was no database."""
        self._check_own()
        if not (self._cluster.home.exists() or self._cluster.home.is_symlink()):
            return False
        with self._locked():
            self._stop()
            delete_data(self._cluster.home.resolve())
            if self._cluster.home.is_symlink():
                self._cluster.home.unlink()
            old_log, last_load = self.log.with_suffix(".log.1"), self._folder / LAST_LOAD
            # The port file is the last one, because it marks the others as ours: see Cluster.check_own.
            self._cluster.delete_passfile()
            for file in (self.log, old_log, last_load, self._port_file):
                file.unlink(missing_ok=True)
        return True

    def url(self) -> str | None:
        """Return a URI for psql and all programs that use libpq; None if the server is not running.

        It contains the path of the passfile, not the password.
        """
        port = self._running()
        return None if port is None else self._url(port)

    def should_retry(self, error: WarehouseError) -> bool:
        """Whether a connection failed because the server has ended; `start` then starts it again.

        A process that was just killed may take a while to end.
        """
        if "FATAL:" in str(error) and "the database system is" not in str(error):
            return False  # a running server refused the connection
        deadline = time.monotonic() + _ENDING_SECONDS
        while self._running() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def explain(self, error: WarehouseError) -> WarehouseError:
        """Let the hint of an error about passwords say how to replace them: a start does not notice wrong ones."""
        if not re.search("password authentication failed|no password supplied", str(error)):
            return error
        hint = f"Delete {self.passfile}, then run `retailpipe local start`: it sets new passwords and keeps the data."
        return WarehouseError(str(error), hint=hint, transient=error.transient)

    @property
    def has_reader(self) -> bool:
        """Whether the database has the role that can only read; one of an earlier version does not have it."""
        return self._cluster.has_reader

    @property
    def passfile(self) -> Path:
        """The file with the passwords of the roles, readable only by its owner."""
        return self._cluster.passfile.absolute()

    def readers_url(self, url: str) -> str:
        """Return the URI of the read-only role, given `url()`; the same URI if the server does not have this role."""
        return url.replace(f"//{USER}@", f"//{READER}@", 1) if self._cluster.has_reader else url

    def _check_own(self) -> None:
        """Do `Cluster.check_own`. If it fails while another process is creating the database, wait and do it again."""
        try:
            self._cluster.check_own()
        except ServerError:
            if not self._lock_file.exists():
                raise
            with self._locked():
                self._cluster.check_own()
        except OSError as error:
            raise self._inaccessible(error) from error

    @property
    def _lock_file(self) -> Path:
        return self._folder / ".postgres.lock"

    @property
    def _port_file(self) -> Path:
        return self._folder / PORT_FILE

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Hold the lock that a process needs to start, stop or delete the server. Raises ServerError on timeout."""
        from filelock import FileLock, Timeout

        try:
            make_folder(self._folder)
            with FileLock(self._lock_file, timeout=_LOCK_SECONDS):
                yield
        except Timeout as error:
            message = f"another process has held the lock {self._lock_file} for {_LOCK_SECONDS} s"
            raise ServerError(message, hint="Wait until that process ends, or end it.") from error
        except OSError as error:
            raise self._inaccessible(error) from error

    def _inaccessible(self, error: OSError) -> ServerError:
        return ServerError(f"cannot access the database in {self._cluster.home}: {error}", hint=SPACE_HINT)

    def _url(self, port: int) -> str:
        passfile = quote(os.fsencode(self.passfile), safe="/")
        return f"postgresql://{USER}@{HOST}:{port}/{DATABASE}?passfile={passfile}"

    def _running(self) -> int | None:
        """Return the port of the server, or None if it is not running or not ready for connections."""
        process = self.process
        return process.port if process and process.is_ready else None

    def _start(self) -> int:
        binaries = Binaries.find(Account.current())
        if not (self._cluster.data / "PG_VERSION").exists():
            self._cluster.make(binaries)
            self.created = True
        register.record(self._folder)
        write_note(self._cluster.home.resolve(), self._folder)  # again at each start: the folder may have been moved
        found = int((self._cluster.data / "PG_VERSION").read_text().split(".")[0])
        if found != binaries.major_version:
            raise ServerError(
                f"the data in {self._cluster.data} need PostgreSQL {found}, but the programs in {binaries.folder} are "
                f"PostgreSQL {binaries.major_version}",
                hint=f"Set RETAILPIPE_PG_BIN to the bin folder of PostgreSQL {found}, or delete the data with "
                "`retailpipe local destroy` and load again.",
            )
        if self.log.exists() and self.log.stat().st_size > _MAX_LOG_SIZE:
            self.log.replace(self.log.with_suffix(".log.1"))
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            begins = self.log.stat().st_size if self.log.exists() else 0
            port = self._start_once(binaries)
            if port is not None:
                return port
            logged = self._log_after(begins)
            # After the main process is killed, its child processes hold the shared memory for some seconds.
            if time.monotonic() > deadline or not _TRANSIENT_FAILURE.search(logged):
                last_lines = "\n".join(logged.splitlines()[-8:])
                hint = f"Read {self.log}. As a last resort, run `retailpipe local destroy` and load again."
                raise ServerError(f"PostgreSQL does not start; the end of its log {self.log}:\n{last_lines}", hint=hint)
            time.sleep(0.5)

    def _start_once(self, binaries: Binaries) -> int | None:
        """Start the server and return its port when it accepts connections; None if it ended or timed out.

        If a server is already starting, wait for that one.
        """
        process = None
        if self.process is None:
            self._remove_stale_pid_file()
            port = self._free_port()
            self._port_file.write_text(f"{port}\n")
            settings = {**_SETTINGS, "port": port}
            command = [binaries.folder / "postgres", "-D", self._cluster.data]
            command += [f"--{name}={value}" for name, value in settings.items()]
            self.log.touch(mode=0o600)
            with self.log.open("ab") as log:
                # pg_ctl is not used because it passes folder names to a shell.
                process = binaries.start(command, subprocess.DEVNULL, log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if (port := self._running()) is not None:
                if process:
                    process.returncode = 0  # the server outlives this process; this prevents Popen's ResourceWarning
                return port
            ended = process.poll() is not None if process else self.process is None
            if ended:
                return None
            time.sleep(0.02)
        return None

    def _stop(self) -> bool:
        """Stop the server and wait for its end; the lock must be held. Returns False if it was not running."""
        process = self.process
        if process is None:
            return False
        if not process.stop():
            raise ServerError(
                f"PostgreSQL in {self._folder} did not stop within {STOP_SECONDS} s",
                hint=f"Read its log {self.log}, then try again.",
            )
        return True

    def _free_port(self) -> int:
        """Return a free port: the port used last, else the one derived from the folder's path, else a random one.

        The port should stay the same, because users save URLs that contain it.
        """
        wanted = [int(hashlib.sha256(os.fsencode(self._folder.resolve())).hexdigest(), 16) % len(_PORTS) + _PORTS[0]]
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
        raise ServerError(
            f"no free port was found on {HOST}", hint="End some programs that listen on this machine, then try again."
        )

    def _remove_stale_pid_file(self) -> None:
        """Delete a pid file whose pid now belongs to another program.

        PostgreSQL would take that program for its own server and refuse to start. All other stale pid files are left
        to PostgreSQL, which deletes them itself when it is safe.
        """
        import psutil

        try:
            blocks_start = psutil.pid_exists(pid_in(self._cluster.data))
        except FileNotFoundError:
            return
        except (OSError, ValueError, OverflowError):  # the file contains no valid pid
            blocks_start = True
        if blocks_start and self.process is None:
            (self._cluster.data / PID_FILE).unlink(missing_ok=True)

    def _log_after(self, begins: int) -> str:
        """Return the log from a byte offset on."""
        try:
            return self.log.read_bytes()[begins:].decode(errors="replace")
        except OSError:
            return "(the log file is missing)"
