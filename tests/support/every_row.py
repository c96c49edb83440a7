"""Compare every row of every table with the rows of bronze that it is traced to, in one statement for each table."""

from __future__ import annotations

from retailpipe import Environment
from retailpipe.connection import Connection
from retailpipe.grain import Grain, quoted
from retailpipe.tracing import statements
from retailpipe.tracing.declarations import Declarations
from retailpipe.tracing.table_row import column_types


def wrong_rows(environment: Environment) -> dict[str, int]:
    """The number of rows by table and column that the traced rows do not give; empty if they give all rows."""
    with environment.warehouse.connect(read_only=True) as connection:
        declarations = Declarations(connection)
        counts = {grain.name: _wrong(connection, declarations, grain) for grain in declarations.declared()}
    return {f"{table}.{column}": n for table, columns in counts.items() for column, n in columns.items() if n}


def untraced_columns(environment: Environment) -> list[str]:
    """The columns of traced tables that no declaration names."""
    with environment.warehouse.connect(read_only=True) as connection:
        return [
            f"{grain.name}.{column}"
            for grain in Declarations(connection).declared()
            for column in column_types(connection, grain.table)
            if column not in {*grain.keys, *grain.measures, *grain.computed, *grain.looked_up}
        ]


def _wrong(connection: Connection, declarations: Declarations, grain: Grain) -> dict[str, int]:
    alias = quoted(grain.relation)
    traced = statements.by_key(grain, declarations.rows(grain), grain.measures)
    keys = " and ".join(_equal(f"{alias}.{quoted(name)}", f"traced.{quoted(name)}") for name in grain.keys)
    first = next(iter(grain.keys))
    checks = (
        {"no rows": f"traced.{quoted(first)} is null and {alias}.{quoted(first)} is not null"} if grain.measures else {}
    )
    for name, measure in grain.measures.items():
        is_same = statements.same(measure, f"{alias}.{quoted(name)}", f"traced.{quoted(name)}")
        checks[name] = f"not ({is_same})"
    for name in grain.computed:
        checks[name] = f"{alias}.{quoted(name)} is distinct from {alias}.{quoted(f'computed {name}')}"
    joins = ""
    for number, (name, source) in enumerate(grain.looked_up.items()):
        other = declarations.grain(source.table).table
        joins += (
            f" left join {other} as other{number} on other{number}.{quoted(source.by)} = {alias}.{quoted(source.by)}"
        )
        checks[name] = f"{alias}.{quoted(name)} is distinct from other{number}.{quoted(name)}"
    computed = "".join(f", ({sql}) as {quoted(f'computed {name}')}" for name, sql in grain.computed.items())
    table = f"(select {alias}.*{computed} from {grain.table} as {alias}) as {alias}"
    counts = ", ".join(f"count(*) filter (where {check})" for check in checks.values())
    found = connection.row(f"select {counts} from {table} left join ({traced}) as traced on {keys}{joins}")
    return dict(zip(checks, found or (), strict=True))


def _equal(left: str, right: str) -> str:
    """A condition that also holds for two nulls, and for which PostgreSQL can use a hash join."""
    return f"coalesce({left}::text, '(null)') = coalesce({right}::text, '(null)')"
