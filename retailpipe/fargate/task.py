"""The program of a task on Fargate: `python -m retailpipe.fargate.task`. The variable ROLE says what it is.

scheduler: Dask's scheduler. It ends when the client ends it, or when it has been idle for ten minutes.
worker: one Dask worker. It ends with the scheduler.
client: loads the workbooks of the run on the workers, as `ingest` does, then ends the scheduler and the secret.

They find each other by the files of the run in the bucket. An alarm, which boot.py has set, ends each at the limit.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

from retailpipe.aws.run_files import Bucket, RunFiles
from retailpipe.aws.run_secret import delete_secret, read_secret
from retailpipe.aws.session import Aws
from retailpipe.bindings import FOLDER
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, WorkersError
from retailpipe.fargate import results
from retailpipe.fargate.runs import Run
from retailpipe.lineage.journal import events_in
from retailpipe.pipeline import Key, ingest
from retailpipe.workers import DASK_SETTINGS

_SCHEDULER_PORT, _WORKER_PORT = 8786, 8787
_POLL_SECONDS = 1.0
_WAIT_SECONDS = 600
"""How long a worker and the client wait for the scheduler, and the scheduler for the client."""
_NO_PAGES = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")
"""Dask serves its metrics over plain HTTP: only within the task."""
_LAST_SECONDS = 60
"""How long the client may take to write its result after the limit."""
_WRITE_SECONDS = 2.0
_log = logging.getLogger(__name__)


class _Ended(BaseException):
    """The limit is reached, or ECS stops the task. Not an Exception: it must not count as a failure of a workbook."""


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    env = os.environ
    aws = Aws(region=env["AWS_REGION"])
    files = RunFiles(Bucket(aws, env["BUCKET"], env["ACCOUNT"]), env["RUN"])
    run = Run.from_document(_required(files, "run"))
    os.environ |= _certificates(read_secret(aws, run.secret))
    match env["ROLE"]:
        case "scheduler":
            _scheduler(files)
        case "worker":
            _worker(_required(files, "scheduler")["address"])
        case _:
            _client(run, files, aws)


def _required(files: RunFiles, name: str) -> dict[str, Any]:
    """Wait for a file of the run, and return it. Raises WorkersError, AwsError."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while (document := files.read(name)) is None:
        if time.monotonic() > deadline:
            raise WorkersError(f"run {files.run} has no file {name} after {_WAIT_SECONDS} seconds")
        time.sleep(_POLL_SECONDS)
    return document


def _certificates(pem: str) -> dict[str, str]:
    """Write the certificate and its key to a file, and return Dask's settings that name it."""
    folder = Path(tempfile.mkdtemp())  # only this user may read it
    both, certificate = folder / "both.pem", folder / "certificate.pem"
    both.write_text(pem)
    certificate.write_text(pem.partition("-----BEGIN PRIVATE KEY-----")[0])
    comm = "DASK_DISTRIBUTED__COMM__"
    roles = {f"{comm}TLS__{role}__CERT": str(both) for role in ("SCHEDULER", "WORKER", "CLIENT")}
    return {**roles, f"{comm}TLS__CA_FILE": str(certificate), f"{comm}REQUIRE_ENCRYPTION": "True"}


def _address() -> str:
    """The private address of this task, which the agent of ECS knows."""
    with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"], timeout=10) as answer:  # noqa: S310 - set by ECS
        return json.loads(answer.read())["Networks"][0]["IPv4Addresses"][0]


def _scheduler(files: RunFiles) -> NoReturn:
    """Become a scheduler. Workers and the client try again until it listens."""
    address = _address()
    files.write("scheduler", {"address": f"tls://{address}:{_SCHEDULER_PORT}"})
    _become_dask(
        *("scheduler", "--protocol", "tls", "--host", address, "--port", str(_SCHEDULER_PORT), *_NO_PAGES),
        *("--idle-timeout", f"{_WAIT_SECONDS} s"),
    )


def _worker(scheduler: str) -> NoReturn:
    """Become a worker."""
    _become_dask(
        *("worker", scheduler, "--protocol", "tls", "--host", _address(), "--worker-port", str(_WORKER_PORT)),
        *("--nthreads", "1", "--no-nanny", "--memory-limit", "0", *_NO_PAGES),
        *("--death-timeout", str(_WAIT_SECONDS), "--local-directory", tempfile.gettempdir()),
    )


def _become_dask(*arguments: str) -> NoReturn:
    os.environ["DASK_CONFIG"] = str(DASK_SETTINGS)
    os.execv(sys.executable, [sys.executable, "-m", "dask", *arguments])  # noqa: S606 - this Python, and no shell


def _client(run: Run, files: RunFiles, aws: Aws) -> None:
    """Load the workbooks of the run; write the result, and end what is left of the run."""
    from retailpipe.workers.dask import DaskWorkers, end_cluster

    signal.signal(signal.SIGALRM, _end)
    signal.signal(signal.SIGTERM, _end)
    address, folder = "", None
    try:
        address = str(_required(files, "scheduler")["address"])
        with DaskWorkers(address, expected=run.workers) as executor:
            environment, contract = _environment(run)
            folder = environment.folder
            reports = ingest(
                environment,
                *map(Key, run.keys),
                contract=contract,
                allow_duplicate=run.allow_duplicate,
                executor=executor,
                at_once=run.at_once,
                progress=_Written(files),
            )
        result = results.of_reports(reports)
    except RetailpipeError as error:
        result = results.of_error(error)
    except _Ended as ended:
        result = results.of_error(
            WorkersError(
                f"run {run.name} ended before all workbooks were loaded: {ended}",
                hint="Start it again with `retailpipe ingest --workers N`: it loads the rest.",
            )
        )
    if folder:  # before the result, for which the machine that started the run waits
        _write_events(files, folder)
    files.write("result", result)
    delete_secret(aws, run.secret)
    if address:
        end_cluster(address)


def _write_events(files: RunFiles, folder: Path) -> None:
    """Write the events of OpenLineage into the bucket: the folder of this task ends with it. Raises nothing."""
    try:
        files.write("lineage", {"events": events_in(folder)})
    except RetailpipeError as error:
        _log.warning("the lineage events were not written: %s", error)


def _end(number: int, frame: object) -> NoReturn:
    """End the client in an orderly way; kill it if that takes too long."""
    del frame
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(_LAST_SECONDS)
    raise _Ended("its time limit was reached" if number == signal.SIGALRM else "AWS stopped its client")


def _environment(run: Run) -> tuple[Environment, Contract | None]:
    """The environment of the stack with the contracts of the run, and the contract for all workbooks, if it has one."""
    environment = Environment.from_outputs(run.outputs)
    folder = environment.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in run.contracts.items():
        (folder / Path(name).name).write_text(text, "utf-8")
    if run.contract is None:
        return environment, None
    chosen = environment.folder / "chosen.toml"
    chosen.write_text(run.contract, "utf-8")
    return environment, Contract.from_file(chosen)


class _Written:
    """Writes the progress of the loads into the bucket, at most every two seconds."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._step, self._note, self._done, self._at = "", "", 0, 0.0

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        del unit, total
        self._step, self._note, self._done = name, "", 0
        self._write()

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        if time.monotonic() - self._at >= _WRITE_SECONDS:
            self._write()

    def note(self, text: str) -> None:
        self._note = text

    def end(self) -> None:
        self._write()

    def _write(self) -> None:
        self._at = time.monotonic()
        try:
            self._files.write("progress", {"step": self._step, "done": self._done, "note": self._note})
        except RetailpipeError as error:  # only the display is late
            _log.warning("the progress was not written: %s", error)


if __name__ == "__main__":
    main()
