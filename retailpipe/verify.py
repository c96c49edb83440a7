"""Does the warehouse hold what the workbooks say, in every layer?"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from retailpipe.environment import Environment
from retailpipe.errors import WarehouseError
from retailpipe.reports import Invariant, VerifyReport

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Cursor

LAYERS = ("bronze", "public_silver", "public_gold")


def verify(environment: Environment) -> VerifyReport:
    """Counts the rows of every table, and compares the layers: rows, keys, quantities, and money to the last digit.

    Raises WarehouseError if silver or gold were never built.
    """
    with environment.warehouse.connect(read_only=True) as connection, connection.cursor() as cursor:
        # One view of the database for both questions.
        cursor.execute("set transaction isolation level repeatable read")
        names = _tables(cursor)
        if not all(f"{layer}." in " ".join(names) for layer in LAYERS):
            raise WarehouseError("silver and gold are not built", hint="Build them with `retailpipe transform`.")
        counts = ", ".join(f"(select count(*) from {name})" for name in names)
        cursor.execute(f"select {counts}")
        found = cursor.fetchone() or ()
        cursor.execute((resources.files("retailpipe") / "verify.sql").read_text(encoding="utf-8"))
        invariants = tuple(Invariant(name, ok, expected, actual) for name, expected, actual, ok in cursor.fetchall())
    tables = dict(zip(names, (int(count) for count in found), strict=True))
    return VerifyReport(all(invariant.ok for invariant in invariants), tables, invariants)


def _tables(cursor: Cursor) -> list[str]:
    places = ", ".join(f"('{layer}', {place})" for place, layer in enumerate(LAYERS))
    cursor.execute(
        f"""
        select format('%I.%I', schemaname, tablename)
        from pg_tables inner join (values {places}) as layers (schemaname, place) using (schemaname)
        order by place, tablename
        """
    )
    return [name for (name,) in cursor.fetchall()]
