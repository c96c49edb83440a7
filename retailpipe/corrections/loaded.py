"""The load whose rejected rows are written, corrected or judged again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.bindings import Bindings
from retailpipe.bronze import layouts, ledger, schema
from retailpipe.bronze.quarantine import QuarantinedRow, made_earlier, quarantined
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import NothingLoaded, SourceNotFound, UsageError
from retailpipe.keys import INPUT
from retailpipe.snapshots import Snapshot

if TYPE_CHECKING:
    from retailpipe.bronze.layouts import SheetLayout
    from retailpipe.bronze.ledger import Entry
    from retailpipe.connection import Connection


@dataclass(frozen=True)
class Loaded:
    """A current load with its quarantine. rows: ordered by sheet and row; corrected ones are among them."""

    entry: Entry
    contract: Contract
    sheets: list[SheetLayout]
    rows: list[QuarantinedRow]

    @property
    def rejected(self) -> list[QuarantinedRow]:
        """The rows that are not corrected."""
        return [row for row in self.rows if row.corrected_by is None]

    def sheet(self, name: str) -> SheetLayout:
        return next(sheet for sheet in self.sheets if sheet.sheet == name)


def key_of(connection: Connection, environment: Environment, source: str | None) -> str:
    """The key of a loaded workbook, whose name may lack `input/`. None: the only one with rejected rows.

    Raises NothingLoaded, SourceNotFound, UsageError if several workbooks have rejected rows.
    """
    loads = ledger.current_loads(connection) if schema.has_schema(connection) else {}
    if not loads:
        raise NothingLoaded
    if source is None:
        return _only_one(loads)
    key = source if source in loads else f"{INPUT}{source}"
    if key not in loads:
        raise SourceNotFound(
            f"{source} is not loaded in {environment.store.address}",
            hint="List the loaded workbooks with `retailpipe status`.",
        )
    return key


def _only_one(loads: dict[str, Entry]) -> str:
    rejecting = sorted(key for key, load in loads.items() if load.rows_rejected)
    if len(rejecting) == 1:
        return rejecting[0]
    if not rejecting:
        raise UsageError("no workbook has rejected rows", hint="List what is loaded with `retailpipe status`.")
    names = ", ".join(rejecting[:5]) + (", ..." if len(rejecting) > 5 else "")
    raise UsageError(
        f"{len(rejecting):,} workbooks have rejected rows: {names}",
        hint=f"Name one of them: `retailpipe rejects {shlex.quote(rejecting[0])}`.",
    )


def loaded(
    connection: Connection, environment: Environment, key: str, contract: Contract | None, *, same: bool = True
) -> Loaded:
    """The current load of a workbook. The caller may hold its lock.

    contract: default: that of the environment. same: whether it must be the contract of the load.
    Raises NothingLoaded, SourceNotFound, ContractError, and LoadError if an earlier version of retailpipe made it.
    """
    key = key_of(connection, environment, key)
    entry = ledger.current_loads(connection)[key]
    bindings = Bindings.of(environment.folder)
    chosen = contract or bindings.contract_for(key) or Contract.default()
    if same:
        chosen = bindings.contract_of_load(key, entry.contract, entry.contract_hash, contract)
    if not schema.is_migrated(connection):
        raise made_earlier(entry)
    sheets = layouts.recorded(connection, [entry.load_id]).get(entry.load_id, [])
    rows = quarantined(connection, entry)
    if rows and not sheets:
        raise made_earlier(entry)
    return Loaded(entry, chosen, sheets, rows)


def acknowledge(connection: Connection, environment: Environment, key: str) -> int:
    """Write the counts of a load that was corrected into its receipt. Return how many rows it still rejects."""
    entry = ledger.current_loads(connection)[key]
    etag = ledger.loaded_etags(connection).get(key, "")
    if etag or environment.stack is None:
        report = replace(ledger.unchanged(entry), status="replaced")
        environment.store.acknowledge(Snapshot(key, Path(), entry.content_hash, etag), report)
    return entry.rows_rejected
