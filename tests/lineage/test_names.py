"""The names of datasets and jobs, as the standard wants them, without passwords."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from retailpipe import Environment
from retailpipe.lineage.datasets import Database, workbook_name
from retailpipe.local.server import EmbeddedServer


@pytest.mark.parametrize(
    ("url", "namespace", "name"),
    [
        ("postgresql://ann:secret@db.example.org:5433/sales", "postgres://db.example.org:5433", "sales"),
        ("postgresql://ann:secret@db.example.org/sales%20of%20us", "postgres://db.example.org:5432", "sales of us"),
        ("postgresql://ann@[::1]:5433/sales", "postgres://[::1]:5433", "sales"),
        ("postgresql://ann@first:1,second:2/sales", "postgres://first:1", "sales"),
        ("postgresql:///sales?host=/var/run/postgresql&password=secret", "postgres://localhost:5432", "sales"),
        ("postgresql://ann@?hostaddr=10.0.0.7", "postgres://10.0.0.7:5432", "ann"),
    ],
)
def test_database_is_named_by_host_port_and_database(tmp_path: Path, url: str, namespace: str, name: str) -> None:
    database = Database.of(Environment.local(tmp_path, database_url=url))

    assert database == Database(namespace, name)


def test_variables_of_libpq_count_where_the_url_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"PGHOST": "db", "PGPORT": "5434", "PGDATABASE": "sales"}.items():
        monkeypatch.setenv(variable, value)

    assert Database.of(Environment.local(tmp_path, database_url="postgresql://")) == Database(
        "postgres://db:5434", "sales"
    )


@pytest.mark.parametrize(
    ("url", "namespace", "name"),
    [
        ("postgresql://?service=shop", "postgres://db:5434", "sales"),
        ("postgresql://other/orders?service=shop", "postgres://other:5434", "orders"),
        ("postgresql://ann@/?service=missing", "postgres://localhost:5432", "ann"),
        ("postgresql://", "postgres://system:5432", "ann"),
    ],
)
def test_service_of_libpq_is_looked_up_in_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, namespace: str, name: str
) -> None:
    (tmp_path / "own.conf").write_text("# mine\n[shop]\nhost=db\nport=5434\ndbname=sales\npassword=se%cret\n")
    (tmp_path / "pg_service.conf").write_text("[all]\nhost=system\nuser=ann\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "own.conf"))
    monkeypatch.setenv("PGSYSCONFDIR", str(tmp_path))
    monkeypatch.setenv("PGSERVICE", "all")

    assert Database.of(Environment.local(tmp_path, database_url=url)) == Database(namespace, name)


def test_embedded_server_is_named_by_its_address(server: EmbeddedServer, tmp_path: Path) -> None:
    url = server.start()

    database = Database.of(replace(Environment.local(tmp_path), server=server))

    port = url.partition("@127.0.0.1:")[2].partition("/")[0]
    assert database == Database(f"postgres://127.0.0.1:{port}", "retailpipe")


def test_workbook_is_named_by_its_path(tmp_path: Path) -> None:
    name = workbook_name(Environment.local(tmp_path / "my shop"), "input/a.xlsx")

    assert (name.namespace, name.name) == ("file", f"{tmp_path}/my shop/input/a.xlsx")
