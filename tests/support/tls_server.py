"""A PostgreSQL server that accepts only TLS, as RDS does, with a certificate made for the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import trustme

from tests.support.lacking import skip
from tests.support.servers import folder_for_servers, hashed_once

USER, PASSWORD, DATABASE = "retailpipe", "first pass/word#1", "retailpipe"


@dataclass(frozen=True)
class TlsServer:
    """A running server. ca: the file of certificates that a client must trust."""

    port: int
    ca: Path

    def execute(self, sql: str) -> None:
        """Run a statement as superuser, over the Unix socket."""
        connection = psycopg2.connect(host=str(self.ca.parent), port=self.port, user="master", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
        connection.close()


def binaries() -> Path:
    """Find the programs of a server built with TLS: RETAILPIPE_TLS_PG_BIN, Debian's folder, or PATH.

    The server in the PyPI wheel is built without TLS. Skips the test if there is none.
    """
    given = os.environ.get("RETAILPIPE_TLS_PG_BIN")
    folders = [Path(given)] if given else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    found = shutil.which("postgres")
    if not found:
        skip("there is no PostgreSQL server with TLS: install Debian's package postgresql or set RETAILPIPE_TLS_PG_BIN")
    return Path(found).resolve().parent


@contextmanager
def tls_server() -> Iterator[TlsServer]:
    """Run a server on 127.0.0.1 with a certificate for localhost, a database, and a user with a password."""
    programs = binaries()
    with folder_for_servers() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        certificate = authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(folder / "server.key")
        certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
        (folder / "server.key").chmod(0o600)
        (folder / "sockets").mkdir()
        account = _account()
        if account:
            for path in (folder, *folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        data = folder / "data"
        initdb = [programs / "initdb", "-D", data, "-U", "master", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale", "C.UTF-8"], check=True, capture_output=True, cwd=folder, **options)
        (data / "pg_hba.conf").write_text("local all master trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        settings = {
            "ssl": "on",
            "ssl_cert_file": folder / "server.pem",
            "ssl_key_file": folder / "server.key",
            "unix_socket_directories": folder,
            "listen_addresses": "127.0.0.1",
            "port": port,
            "fsync": "off",
        }
        command = [programs / "postgres", "-D", data]
        for setting, value in settings.items():
            command += ["-c", f"{setting}={value}"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **options)
        server = TlsServer(port, folder / "ca.pem")
        try:
            _wait(server, folder / "log")
            server.execute(f"create role {USER} login createdb password '{hashed_once(PASSWORD)}'")
            server.execute(f"create database {DATABASE} owner {USER}")
            yield server
        finally:
            process.terminate()
            process.wait(60)


def _wait(server: TlsServer, log: Path) -> None:
    for _ in range(200):
        try:
            return server.execute("select 1")
        except psycopg2.OperationalError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _account() -> pwd.struct_passwd | None:
    """The account for the server: `nobody` for root, because PostgreSQL does not run as root; otherwise None."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None
