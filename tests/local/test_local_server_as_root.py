"""The embedded PostgreSQL if root starts it: it runs as `nobody`, because PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retailpipe.local.server import EmbeddedServer
from tests.support.lacking import skip
from tests.support.servers import START, port, postmaster, run_sql

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")


def test_the_server_runs_as_nobody(closed: Path) -> None:
    process = postmaster(EmbeddedServer(closed / "environment").start())

    assert process.username() == "nobody"
    assert process.gids().real != 0


def test_the_data_are_in_the_folder_if_the_servers_account_can_reach_it(place: Path) -> None:
    EmbeddedServer(place / "environment").start()

    assert not (place / "environment" / "postgres").is_symlink()


def test_the_data_are_elsewhere_if_the_servers_account_cannot_reach_the_folder(
    closed: Path,
) -> None:
    server = EmbeddedServer(closed / "environment")
    server.start()
    elsewhere = (closed / "environment" / "postgres").resolve()
    assert not elsewhere.is_relative_to(closed)

    server.destroy()

    assert not elsewhere.exists()
    assert not (closed / "environment" / "postgres").is_symlink()


def test_the_first_server_of_root_starts_under_a_strict_umask(closed: Path) -> None:
    """/var/lib is an empty private mount, as on a machine that never had such a server."""
    code = START + "print(url); EmbeddedServer(Path(sys.argv[1])).destroy()"
    with_private_mount = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs none /var/lib && umask 077 && exec "$@"',
        "sh",
    ]
    if subprocess.run([*with_private_mount, "true"], capture_output=True, check=False).returncode != 0:
        skip("private mounts are not allowed on this machine")

    done = subprocess.run(
        [*with_private_mount, sys.executable, "-c", code, closed / "environment"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert port(done.stdout.strip()) > 1024


def test_a_data_folder_that_does_not_belong_to_the_servers_account_yet_is_used(place: Path) -> None:
    """The process that created it was killed between mkdir and chown."""
    folder = place / "environment"
    folder.mkdir()
    (folder / "postgres").mkdir(mode=0o700)

    assert run_sql(EmbeddedServer(folder).start(), "select 1") == 1


def test_a_folder_that_the_servers_account_cannot_reach_may_have_any_name(closed: Path) -> None:
    folder = closed / 'it\'s 100% "año" $HOME'

    assert run_sql(EmbeddedServer(folder).start(), "select 1") == 1
