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


def test_embedded_server_is_named_by_its_address(server: EmbeddedServer, tmp_path: Path) -> None:
    url = server.start()

    database = Database.of(replace(Environment.local(tmp_path), server=server))

    port = url.partition("@127.0.0.1:")[2].partition("/")[0]
    assert database == Database(f"postgres://127.0.0.1:{port}", "retailpipe")


def test_workbook_is_named_by_its_path(tmp_path: Path) -> None:
    name = workbook_name(Environment.local(tmp_path / "my shop"), "input/a.xlsx")

    assert (name.namespace, name.name) == ("file", f"{tmp_path}/my shop/input/a.xlsx")
