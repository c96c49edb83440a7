"""What the tests of the embedded PostgreSQL ask a server, and how they run code in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
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

BECOME_ORDINARY = """
import os, sys
if os.geteuid() == 0:
    # Python itself may lie where only root can go: all of it that is needed is imported before.
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
"""Makes root's process one of the user nobody; leaves that of anybody else as it is."""


def ask(url: str | None, sql: str) -> Any:
    """The one value of a query, through psycopg2; what it writes stays."""
    assert url is not None
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def port(url: str | None) -> int:
    assert url is not None
    found = urlsplit(url).port
    assert found is not None
    return found


def postmaster(url: str) -> psutil.Process:
    """The server's first process."""
    return psutil.Process(int(ask(as_superuser(url), "select split_part(pg_read_file('postmaster.pid'), e'\\n', 1)")))


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def launch(code: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Python code in a process, and a session, of its own; it must not wait for more than a minute."""
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
    """What a process prints, when it has ended well."""
    printed, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    return printed.strip()


def as_ordinary_user(code: str, *arguments: str | Path, **options: Any) -> str:
    """What code prints that is run by somebody who is not root."""
    environment = {**os.environ, "HOME": "/nonexistent", **options.pop("env", {})}
    return outcome(launch(BECOME_ORDINARY + code, *arguments, env=environment, **options))


def as_superuser(url: str) -> str:
    """The URL by which the embedded server's superuser connects."""
    return url.replace("//retailpipe@", "//postgres@")


def password_of(passfile: Path, user: str) -> str:
    """The password of a role in a passfile."""
    entries = [line.split(":") for line in passfile.read_text().splitlines()]
    return next(password for *_, role, password in entries if role == user)
