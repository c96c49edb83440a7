"""A Dask cluster on loopback: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from distributed import Client, Security

from retailpipe.workers import DASK_SETTINGS

_READY_SECONDS = 180


class Cluster:
    """A context: a scheduler, and the workers that `add_workers` starts. All of them end with the context."""

    def __init__(self, folder: Path, security: Security | None = None) -> None:
        """security: the certificates for TLS, which Dask's variables must name too."""
        self._security = security
        self._file = folder / "scheduler.json"
        self._log = folder / "cluster.log"
        # Without an address for its pages, the scheduler takes port 8787 of all addresses.
        pages = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")
        self.scheduler = self._start("scheduler", "--port", "0", *pages, "--scheduler-file", str(self._file))
        self.workers: list[subprocess.Popen[bytes]] = []
        deadline = time.monotonic() + _READY_SECONDS
        while not (address := self._address()):
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)
        self.address = address

    def add_workers(self, count: int, env: Mapping[str, str] | None = None) -> None:
        """Start workers with one thread each, and wait until the scheduler knows them."""
        arguments = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0")
        self.workers += [self._start("worker", self.address, *arguments, env=env) for _ in range(count)]
        with Client(self.address, security=self._security, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers), timeout=_READY_SECONDS)

    def _address(self) -> str:
        """The address of the scheduler; empty while it has not written its file to the end."""
        try:
            return json.loads(self._file.read_text())["address"]
        except (FileNotFoundError, json.JSONDecodeError):
            return ""

    def _start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "dask",
                    *arguments,
                    "--host",
                    "127.0.0.1",
                    "--protocol",
                    "tls" if self._security else "tcp",
                ],
                cwd=self._log.parent,
                env={**os.environ, "DASK_CONFIG": str(DASK_SETTINGS), **(env or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
