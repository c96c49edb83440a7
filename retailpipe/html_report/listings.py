"""The tables of the report that have no chart: invariants, loads, rejected rows, the rows of the user's models."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from retailpipe.html_report.facts import Check, Facts, OwnTable
from retailpipe.html_report.own_tables import COLUMNS_SHOWN
from retailpipe.html_report.tables import Amount, Cell, Table
from retailpipe.html_report.wording import decimals

_HASH_SHOWN = 12


def invariants(checks: tuple[Check, ...], caption: str) -> Table:
    """Invariants with both sides."""
    rows = tuple(
        ("holds" if each.ok else "DOES NOT HOLD", each.name, _amount(each.expected), _amount(each.actual))
        for each in checks
    )
    return Table(caption, ("Result", "Invariant", "Expected", "Found"), rows, len(rows), "verify")


def history(facts: Facts) -> Table:
    """All loads, newest first."""
    columns = ("Load", "Workbook", "Status", "Finished (UTC)", "Seconds", "Rows read", "Loaded", "Rejected")
    rows = tuple(
        (
            load.load_id,
            load.source,
            load.status,
            load.finished_at,
            load.seconds,
            load.rows_read,
            load.rows_loaded,
            load.rows_rejected,
        )
        for load in facts.ledger.history
    )
    if any(load.rows_corrected for load in facts.ledger.history):
        columns = (*columns, "Corrected")
        rows = tuple((*row, load.rows_corrected) for row, load in zip(rows, facts.ledger.history, strict=True))
    return Table("Loads, newest first", columns, rows, facts.ledger.loads, "status")


def workbooks(facts: Facts) -> Table:
    """The workbooks whose rows are loaded."""
    columns = ("Workbook", "SHA-256", "Contract", "Table", "First date", "Last date", "Load")
    rows = tuple(
        (
            load.source,
            load.content_hash[:_HASH_SHOWN],
            load.contract,
            f"bronze.{load.table_name}",
            load.first_date.date() if load.first_date else None,
            load.last_date.date() if load.last_date else None,
            load.load_id,
        )
        for load in facts.ledger.current
    )
    return Table("Workbooks", columns, rows, facts.ledger.sources, "status --json")


def rules(facts: Facts) -> Table:
    """How many rows break which rule."""
    rows = tuple((each.code, each.column_name, each.rows) for each in facts.rejects.rules)
    columns = ("Rule", "Column", "Rows")
    return Table("Rejected rows by rule and column", columns, rows, facts.rejects.broken, "rejects")


def cells(facts: Facts) -> Table:
    """The first cells because of which rows were rejected."""
    columns = ("Workbook", "Sheet", "Cell", "Column", "Value", "Reason")
    rows = tuple(
        (each.source, each.sheet, each.cell, each.column_name, each.raw_value, each.message)
        for each in facts.rejects.cells
    )
    return Table("The first rejected cells", columns, rows, facts.rejects.rows, "rejects")


def own_rows(table: OwnTable) -> Table:
    """Some rows and the first columns of a model of the user."""
    columns = table.columns[:COLUMNS_SHOWN]
    places = [max((decimals(row[i] or "") for row in table.rows), default=0) for i in range(len(columns))]
    rows = tuple(
        tuple(
            value if value is None or column.kind != "number" else _amount(value, places[i])
            for i, (column, value) in enumerate(zip(columns, row, strict=True))
        )
        for row in table.rows
    )
    names = tuple(column.name for column in columns)
    command = f'query "select * from {table.relation}"'
    caption = f"Rows of {table.name}"
    return Table(caption, names, rows, table.total, command, which="", total_columns=len(table.columns))


def versions(facts: Facts) -> Table:
    """The versions of everything that took part."""
    return Table("Versions", ("Program", "Version"), facts.versions, len(facts.versions))


def parents(facts: Facts) -> Table:
    """The lineage as a table."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (node.name, node.layer, ", ".join(name for _, name in node.parents)) for node in facts.lineage
    )
    return Table("What each table is made from", ("Name", "Layer", "Made from"), rows, len(rows))


def _amount(text: str, places: int = 0) -> Cell:
    """A number with all its digits; the text itself if it is not a number."""
    try:
        is_number = Decimal(text).is_finite()
    except InvalidOperation:
        return text
    return Amount(text, places) if is_number else text
