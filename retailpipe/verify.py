"""Does the warehouse hold what the workbooks say, in every layer?"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from retailpipe.environment import Environment
from retailpipe.errors import WarehouseError
from retailpipe.reports import Invariant, VerifyReport

if TYPE_CHECKING:
    from retailpipe.connection import Connection

LAYERS = ("bronze", "public_silver", "public_gold")
_TABLE = re.compile(r"\b(?:bronze|public_silver|public_gold)\.\w+")


def verify(environment: Environment) -> VerifyReport:
    """Counts the rows of every table, and compares the layers: rows, keys, quantities, and money to the last digit.

    Raises WarehouseError if silver or gold were never built.
    """
    statement = (resources.files("retailpipe") / "verify.sql").read_text(encoding="utf-8")
    with environment.warehouse.connect(read_only=True) as connection:
        # One view of the database for all questions.
        connection.execute("set transaction isolation level repeatable read")
        names = _tables(connection)
        missing = sorted(set(_TABLE.findall(statement)) - set(names))
        if missing:
            raise WarehouseError(
                f"silver and gold are not built: there is no {', '.join(missing)}",
                hint="Build them with `retailpipe transform`.",
            )
        counts = ", ".join(f"(select count(*) from {name})" for name in names)
        found = connection.row(f"select {counts}") or ()
        rows = connection.rows(statement)
    tables = dict(zip(names, (int(count) for count in found), strict=True))
    invariants = tuple(Invariant(name, ok, expected, actual) for name, expected, actual, ok in rows)
    return VerifyReport(all(invariant.ok for invariant in invariants), tables, invariants)


def _tables(connection: Connection) -> list[str]:
    places = ", ".join(f"('{layer}', {place})" for place, layer in enumerate(LAYERS))
    rows = connection.rows(
        f"""
        select format('%I.%I', schemaname, tablename)
        from pg_tables inner join (values {places}) as layers (schemaname, place) using (schemaname)
        order by place, tablename
        """
    )
    return [name for (name,) in rows]
