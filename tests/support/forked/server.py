"""Run commands in forked processes that have already imported the libraries: python server.py SOCKET."""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from service_models import read_once

IMPORTED = """
adbc_driver_postgresql.dbapi boto3 dbt.adapters.postgres dbt.cli.main dbt.parser.schema_yaml_readers dbt.task.build
dbt_common.clients.agate_helper pyarrow.compute pyarrow.csv python_calamine retailpipe.bronze.loader retailpipe.cli.app
retailpipe.workbook.reader rich.progress rich.table xlsxwriter
"""
PROGRAM = str(Path(__file__).parents[3] / "retailpipe" / "__main__.py")
SERVICES = ("events", "lambda", "logs", "rds", "s3", "secretsmanager", "sns", "sqs", "ssm", "sts")
READ_ONCE = ("PYTHON", "LC_", "LANG", "TZ", "DBT_", "ARROW_")
"""Python or a library reads variables that begin with these only at its start."""
AT_START = {name: value for name, value in os.environ.items() if name.startswith(READ_ONCE)}


class Without:
    """Hides what Arrow and the driver import if it is installed. A command hides pandas too; polars starts threads."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name in ("pandas", "polars"):
            raise ModuleNotFoundError(name=name)


def import_all() -> None:
    """Import what commands import, as they do."""
    sys.argv[0] = PROGRAM  # hints say how the program was called
    os.environ |= {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
    sys.meta_path.insert(0, Without)
    for name in IMPORTED.split():
        import_module(name)
    sys.meta_path.remove(Without)
    read_once()
    session = import_module("boto3").Session(region_name="eu-central-1")
    for name in SERVICES:
        session.client(name)
    assert threading.active_count() == 1
    gc.freeze()


def next_request(address: str) -> tuple[socket.socket, list[int], dict]:
    """Fork a process for each connection, and return there. The server ends when its standard input ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
                os.killpg(0, signal.SIGKILL)  # also commands whose client was killed
            connection, _ = listener.accept()
            if not os.fork():
                break
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile() as text:
        return connection, streams, json.load(text)


def fork_command(connection: socket.socket) -> None:
    """Fork the command and return there. This process waits for it, and tells the client its ID and how it ended."""
    process = os.fork()
    if process:
        connection.sendall(f"{process}\n".encode())
        _, status = os.waitpid(process, 0)
        with suppress(BrokenPipeError):
            connection.sendall(f"{status}\n".encode())
        os._exit(0)
    connection.close()


def become_command(streams: list[int], request: dict) -> None:
    """Take over the client's streams, variables, folder and arguments."""
    for number, (name, stream) in enumerate(zip(("stdin", "stdout", "stderr"), streams, strict=True)):
        old = getattr(sys, name)
        os.dup2(stream, number)
        os.close(stream)
        line_by_line = name == "stderr" or os.isatty(number)
        new = os.fdopen(number, old.mode, 1 if line_by_line else -1, old.encoding, old.errors, closefd=False)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.environ.clear()
    os.environ |= request["variables"]
    os.umask(request["mask"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    sys.argv[1:] = request["arguments"]


def exit_without_freeing(code: int) -> None:
    """Exit as Python does, but free no objects: the process would first get copies of the pages of all of them."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    import_all()
    connection, streams, request = next_request(sys.argv[1])
    variables = request["variables"].items()
    if {name: value for name, value in variables if name.startswith(READ_ONCE)} != AT_START:
        connection.sendall(b"0\n")
        os._exit(0)
    fork_command(connection)
    become_command(streams, request)
    try:
        runpy.run_module("retailpipe", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, int | None):
            exit_without_freeing(ended.code or 0)
        raise
