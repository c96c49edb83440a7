"""The embedded PostgreSQL of root, which runs as nobody since PostgreSQL refuses root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retailpipe.local.server import EmbeddedServer
from tests.support.lacking import skip
from tests.support.servers import START, ask, port, postmaster

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")


def test_the_server_runs_as_nobody(closed: Path) -> None:
    process = postmaster(EmbeddedServer(closed / "environment").start())

    assert process.username() == "nobody"
    assert process.gids().real != 0


def test_the_data_are_kept_in_the_folder_where_the_servers_account_reaches_it(place: Path) -> None:
    EmbeddedServer(place / "environment").start()

    assert not (place / "environment" / "postgres").is_symlink()


def test_the_data_are_kept_elsewhere_where_the_folder_is_closed_until_they_are_destroyed(
    closed: Path,
) -> None:
    server = EmbeddedServer(closed / "environment")
    server.start()
    elsewhere = (closed / "environment" / "postgres").resolve()
    assert not elsewhere.is_relative_to(closed)

    server.destroy()

    assert not elsewhere.exists()
    assert not (closed / "environment" / "postgres").is_symlink()


def test_a_first_server_under_a_strict_umask(closed: Path) -> None:
    """On a machine where no data were ever kept elsewhere: /var/lib is an empty one, seen by this process alone."""
    code = START + "print(url); EmbeddedServer(Path(sys.argv[1])).destroy()"
    alone = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /var/lib && umask 077 && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        skip("mounts of one's own are not allowed here")

    done = subprocess.run(
        [*alone, sys.executable, "-c", code, closed / "environment"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert port(done.stdout.strip()) > 1024


def test_a_home_that_was_made_but_not_yet_given_to_the_servers_account_is_used(place: Path) -> None:
    """The starter was killed between two system calls."""
    folder = place / "environment"
    folder.mkdir()
    (folder / "postgres").mkdir(mode=0o700)

    assert ask(EmbeddedServer(folder).start(), "select 1") == 1


def test_a_folder_that_is_closed_to_others_may_have_any_name(closed: Path) -> None:
    folder = closed / 'it\'s 100% "año" $HOME'

    assert ask(EmbeddedServer(folder).start(), "select 1") == 1
