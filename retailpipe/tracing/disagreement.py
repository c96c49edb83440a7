"""The error of figures that the rows of bronze do not give, with the reason as far as it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retailpipe.bronze.locks import is_building
from retailpipe.builds import why_outdated
from retailpipe.errors import TraceError
from retailpipe.grain import Grain
from retailpipe.tracing.findings import Figure
from retailpipe.tracing.table_row import TableRow

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_FLOATS = {"real", "double precision"}


def disagreement(connection: Connection, grain: Grain, row: TableRow, wrong: Sequence[Figure]) -> TraceError:
    """The error of a row of a table. wrong: the figures of the row that differ from what they follow from."""
    named = " ".join(f"{name}={_shown(row.values[name])}" for name in grain.keys)
    differences = "; ".join(
        f"{figure.column} is {_shown(figure.figure)}, but the {'columns' if figure.rows is None else 'rows'} "
        f"that it follows from give {_shown(figure.traced)}"
        for figure in wrong
    )
    if is_building(connection):
        why, hint = "A build is running.", "Wait until it has ended, then try again."
    elif outdated := why_outdated(connection):
        why, hint = outdated, "Build the tables with `retailpipe transform`, then try again."
    elif _FLOATS & {row.types.get(figure.column) for figure in wrong}:
        why, hint = "A float is not exact.", "Make the column numeric in the model."
    else:
        why = f"The table was built from all current loads, so its rows, or {grain.file}, were changed."
        hint = "Run `retailpipe verify`, then `retailpipe transform --full-refresh`."
    return TraceError(f"{grain.name} {named}: {differences}. {why}", hint=hint)


def _shown(value: str | None) -> str:
    return "null" if value is None else value
