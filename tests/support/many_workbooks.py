"""Environments with many small workbooks, and what bronze must hold when they are loaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import retailpipe
from retailpipe import Contract, Environment

ROWS = 60
CONTENT = """
select source, invoice_no, stock_code, quantity, count(*) as n
from bronze.raw_transactions join bronze.loads using (load_id) where status = 'loaded'
group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""
LOADS = "select source, count(*) as n, sum(rows_read)::bigint as rows_read from bronze.loads group by source order by 1"
STRAYS = """
select count(*) as n from bronze.raw_transactions
where load_id not in (select load_id from bronze.loads where status = 'loaded')
"""


def fill(environment: Environment, samples: Path, count: int) -> list[str]:
    """Put workbooks into the store; return their keys."""
    folder = environment.folder / "input"
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(samples.iterdir())[:count]
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())
    return [f"input/{file.name}" for file in files]


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return environment.warehouse.query(sql).to_pylist()


def loaded_in_one_process(environment: Environment) -> list[dict[str, Any]]:
    """What bronze holds when one process loads what waits; bronze is empty again afterwards."""
    retailpipe.ingest(environment)
    content = rows(environment, CONTENT)
    with environment.warehouse.connect() as connection:
        connection.execute("drop schema bronze cascade")
        connection.commit()
    return content


def assert_each_loaded_once(environment: Environment, keys: list[str]) -> None:
    """The ledger has one load for each key, bronze has the rows of these loads and no others."""
    assert rows(environment, LOADS) == [{"source": key, "n": 1, "rows_read": ROWS} for key in keys]
    assert rows(environment, STRAYS) == [{"n": 0}]


RECORD = """
with loaded as (
    insert into bronze.loads (
        source, content_hash, contract, contract_hash, table_name, sheet,
        rows_read, rows_loaded, rows_rejected, started_at, finished_at, status
    )
    select key, hash, $1, $2, $3, '', 0, 0, 0, now(), now(), 'loaded'
    from jsonb_to_recordset($4::jsonb) as stored (key text, hash text)
    where key not in (select source from bronze.loads)
    order by key
)
insert into bronze.etags (source, etag, content_hash)
select key, etag, hash from jsonb_to_recordset($4::jsonb) as stored (key text, etag text, hash text)
on conflict (source) do nothing
"""


def record_loads(environment: Environment) -> None:
    """Record the workbooks in the store as loaded with no rows, without reading them."""
    contract = Contract.default()
    stored = [
        {"key": each.key, "etag": each.etag, "hash": hashlib.sha256(each.key.encode()).hexdigest()}
        for each in environment.store.workbooks()
    ]
    with environment.warehouse.connect() as connection:
        connection.execute(RECORD, contract.name, contract.fingerprint, contract.table, json.dumps(stored))
        connection.commit()
