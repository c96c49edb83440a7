"""Helpers for tests of PostgreSQL servers: queries, processes, and code that runs as another user."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg2

START = """
import sys
from pathlib import Path
from retailpipe.local.server import EmbeddedServer
url = EmbeddedServer(Path(sys.argv[1])).start()
"""
"""Starts the server of the folder named by the first argument."""

SWITCH_TO_NOBODY = """
import os, sys
if os.geteuid() == 0:
    # Python may be installed where only root can read: import everything that is needed first.
    import encodings.idna, locale, pwd, shutil, subprocess, tempfile, uuid
    import filelock, platformdirs.unix, psutil, psycopg2, pyarrow.dataset
    import concurrent.futures.thread
    import retailpipe.local.server
    try:
        retailpipe.Environment.local("none", database_url="postgresql://127.0.0.1:1/none").warehouse.query("select 1")
    except retailpipe.RetailpipeError:
        pass
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
"""
"""Switches a process of root to the user nobody; does nothing for other users."""


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    """A folder that other accounts can access, because a server that root starts runs as another one.

    It is in memory if there is enough: each new database creates 300 files and deletes them after the test.
    """
    memory = Path("/dev/shm")
    enough = memory.is_dir() and shutil.disk_usage(memory).free > 4e9
    with tempfile.TemporaryDirectory(dir=memory if enough else None) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def run_sql(url: str | None, sql: str) -> Any:
    """Run a statement through psycopg2, commit, and return its single value, if any."""
    assert url is not None
    with _cursor(url) as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def execute(url: str, *statements: str) -> None:
    """Execute statements through psycopg2, each in its own transaction. It connects ten times faster than ADBC."""
    with _cursor(url) as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def _cursor(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        yield cursor


def port(url: str | None) -> int:
    assert url is not None
    found = urlsplit(url).port
    assert found is not None
    return found


def postmaster(url: str) -> psutil.Process:
    """The server's main process."""
    return psutil.Process(
        int(run_sql(as_superuser(url), "select split_part(pg_read_file('postmaster.pid'), e'\\n', 1)"))
    )


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def launch(code: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start Python code in its own process and session. The code must end within a minute."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def outcome(process: subprocess.Popen[str]) -> str:
    """Wait for a process, check that it succeeded, and return what it printed."""
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return stdout.strip()


def as_ordinary_user(code: str, *arguments: str | Path, **options: Any) -> str:
    """Run Python code as a user who is not root, and return what it printed."""
    environment = {**os.environ, "HOME": "/nonexistent", **options.pop("env", {})}
    return outcome(launch(SWITCH_TO_NOBODY + code, *arguments, env=environment, **options))


def as_superuser(url: str) -> str:
    """The URL with the embedded server's superuser in place of its usual role."""
    return url.replace("//retailpipe@", "//postgres@")


def password_of(passfile: Path, user: str) -> str:
    """The password of a role, from a passfile."""
    entries = [line.split(":") for line in passfile.read_text().splitlines()]
    return next(password for *_, role, password in entries if role == user)


def hashed_once(password: str) -> str:
    """A password in the form in which PostgreSQL stores it, but hashed once, not 4,096 times.

    Client and server compute the hashes for each connection: 4,096 take 3 ms. The form: RFC 5803.
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations=1)
    client_key, server_key = (hmac.digest(salted, b"%s Key" % side, "sha256") for side in (b"Client", b"Server"))
    salt, stored_key, server_key = (
        b64encode(value).decode() for value in (salt, hashlib.sha256(client_key).digest(), server_key)
    )
    return f"SCRAM-SHA-256$1:{salt}${stored_key}:{server_key}"
