"""Read the figures and digests of a student's warehouse, and write them as a submission.

All figures are from one snapshot of the database. A table that cannot be read does not stop the others, which are then
read in a new transaction. The student owns the database, so nothing in it is trusted: a view may never end, and a table
may have any columns and any rows.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation, localcontext
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from retailpipe.bronze import build_record, ledger
from retailpipe.bronze.schema import has_schema
from retailpipe.classroom.grading.digests import BRONZE, GRADED, REJECTED, Text, canonical, days_of, table_digest
from retailpipe.classroom.grading.evidence import Evidence, LoadEvidence, ModelEvidence, RejectEvidence, TableEvidence
from retailpipe.errors import ClassError, RetailpipeError, StoreError, WarehouseError
from retailpipe.invariants import verified
from retailpipe.sample import MAX_ROWS

if TYPE_CHECKING:
    from retailpipe.connection import Connection
    from retailpipe.environment import Environment

SUBMISSION = "submission.json"
_MAX_SQL = 200_000
_MAX_MODELS = 100
_TABLE_SECONDS = 30
_T = TypeVar("_T")


def submit(environment: Environment, out: Path, *, student: str | None = None) -> Evidence:
    """Write the submission of a student to a file that only its owner can read, and return what it holds.

    student: the name in the roster. Default: the name of the stack; in a local environment, that of the only workbook
    which is loaded, without its suffix.

    Raises WarehouseError if the database cannot be read, ClassError if the student's name is unknown, StoreError if the
    file cannot be written.
    """
    evidence = collect(environment, student)
    if not evidence.student:
        raise ClassError(
            "the name of the student is not known: the environment is not a stack, and has not exactly one workbook",
            hint="Give the name that the roster has: `retailpipe submit --student NAME`.",
        )
    write(evidence, out)
    return evidence


def write(evidence: Evidence, out: Path) -> None:
    """Write a submission to a file that only its owner can read. Raises StoreError."""
    try:
        write_privately(out, json.dumps(evidence.document(), indent=1) + "\n")
    except OSError as error:
        raise StoreError(
            f"cannot write {out}: {error.strerror}", hint="Choose another file: `retailpipe submit --out FILE`."
        ) from error


def collect(environment: Environment, student: str | None = None) -> Evidence:
    """Read the figures and digests of an environment. Raises WarehouseError if its database cannot be read.

    student: as for `submit`; an unknown name is empty.
    """
    with environment.warehouse.connect() as connection:
        return _Collector(connection, environment).evidence(student)


def write_privately(file: Path, text: str) -> None:
    """Write a file that only its owner can read, completely or not at all. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=file.suffix)  # its mode is 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(text)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class _Collector:
    def __init__(self, connection: Connection, environment: Environment) -> None:
        self._connection = connection
        self._environment = environment
        self._begin()

    def evidence(self, student: str | None) -> Evidence:
        """Read everything. Raises WarehouseError if the connection is lost."""
        loads = self._tried(self._loads, [])
        tables: dict[str, TableEvidence] = {}
        bronze: Mapping[str, Sequence[Text]] = {}
        for name, columns in GRADED.items():
            tables[name], values = self._table(name, columns)
            bronze = values if name == BRONZE else bronze
        broken, unverified = self._verification()
        return Evidence(
            student=student or self._student(loads),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=self._versions(),
            loads=loads,
            rejects=self._tried(self._rejects, []),
            tables=tables,
            days=days_of(bronze) if set(bronze) == set(GRADED[BRONZE]) else {},
            models=self._models(),
            is_built=self._tried(self._is_built, default=False),
            broken=broken,
            unverified=unverified,
        )

    def _tried(self, read: Callable[[], _T], default: _T) -> _T:
        """Return what `read` returns, or the default if a statement fails."""
        try:
            return self._read(read)
        except WarehouseError as error:
            if error.transient:
                raise
            return default

    def _begin(self) -> None:
        """Begin a read-only transaction with a snapshot of its own."""
        self._connection.execute("set transaction isolation level repeatable read, read only")
        self._connection.execute(f"set local statement_timeout = '{_TABLE_SECONDS}s'")

    def _read(self, read: Callable[[], _T]) -> _T:
        """Run `read`. If a statement fails, begin a new transaction, and raise its WarehouseError."""
        try:
            return read()
        except WarehouseError as error:
            if not error.transient:
                self._connection.rollback()
                self._begin()
            raise

    def _student(self, loads: Sequence[LoadEvidence]) -> str:
        if stack := self._environment.stack:
            return stack.outputs.stack
        sources = {load.source for load in loads if load.table == build_record.OUR_TABLE}
        return PurePosixPath(*sources).stem if len(sources) == 1 else ""

    def _versions(self) -> dict[str, str]:
        import retailpipe

        row = self._connection.row("select current_setting('server_version')") or ("",)
        return {
            "retailpipe": retailpipe.__version__,
            "python": platform.python_version(),
            "dbt": version("dbt-core"),
            "postgresql": str(row[0]),
        }

    def _loads(self) -> list[LoadEvidence]:
        if not has_schema(self._connection):
            return []
        loads = sorted(ledger.current_loads(self._connection).values(), key=lambda load: load.load_id)
        return [
            LoadEvidence(
                _short(load.source),
                load.content_hash,
                load.table_name,
                load.rows_read,
                load.rows_loaded,
                load.rows_rejected,
            )
            for load in loads
        ]

    def _rejects(self) -> list[RejectEvidence]:
        rows = self._connection.rows(
            f"select column_name, code, count(*) from bronze.rejected_rows {_OF_OUR_TABLE} group by 1, 2 order by 1, 2"
        )
        return [RejectEvidence(_short(column), _short(code), int(count)) for column, code, count in rows]

    def _table(self, name: str, graded: Sequence[str]) -> tuple[TableEvidence, Mapping[str, Sequence[Text]]]:
        try:
            kinds = self._read(lambda: self._kinds(name))
            present = [column for column in graded if column in kinds]
            if not present:
                what = "has none of its columns" if kinds else "does not exist"
                return TableEvidence(0, "", {}, {}, what), {}
            values = self._read(lambda: self._values(name, {column: kinds[column] for column in present}))
        except WarehouseError as error:
            if error.transient:
                raise
            return TableEvidence(0, "", {}, {}, _short(str(error))), {}
        except _TooManyRows:
            return TableEvidence(0, "", {}, {}, f"has more than {_MAX_TABLE_ROWS:,} rows"), {}
        digest = table_digest(values)
        sums = {
            column: total for column in present if kinds[column] in _NUMBERS and (total := _sum(values[column])) != ""
        }
        return TableEvidence(digest.rows, digest.whole, digest.columns, sums, ""), values

    def _kinds(self, table: str) -> dict[str, str]:
        """The type of each column of a table or view; nothing if it does not exist."""
        return dict(
            self._connection.rows(
                """
                select attname::text, format_type(atttypid, null) from pg_attribute
                where attrelid = to_regclass($1) and attnum > 0 and not attisdropped
                """,
                table,
            )
        )

    def _values(self, table: str, kinds: Mapping[str, str]) -> dict[str, list[Text]]:
        """The values of the columns as texts."""
        columns = ", ".join(f"{_as_text(column, kind)} as {column}" for column, kind in kinds.items())
        source = f"{table} {_OF_OUR_TABLE if table == REJECTED else ''}"
        found = self._connection.table(f"select {columns} from {source} limit {_MAX_TABLE_ROWS + 1}")
        if found.num_rows > _MAX_TABLE_ROWS:
            raise _TooManyRows
        return {column: found.column(column).to_pylist() for column in kinds}

    def _is_built(self) -> bool:
        row = self._connection.row(
            """
            select exists (select from bronze.builds where load_ids = (
                select array_agg(load_id order by load_id) from bronze.loads
                where status in ('loaded', 'correction') and table_name = $1
            ))
            """,
            build_record.OUR_TABLE,
        )
        return row == (True,)

    def _verification(self) -> tuple[list[str], str]:
        """The invariants that do not hold, and why they could not be checked."""
        try:
            report = self._read(lambda: verified(self._connection))
        except RetailpipeError as error:
            if isinstance(error, WarehouseError) and error.transient:
                raise
            return [], _short(str(error))
        return [_short(invariant.name) for invariant in report.broken], ""

    def _models(self) -> list[ModelEvidence]:
        """The models of the student's own that the last build knew, with their SQL if it is on this machine."""
        texts = _model_texts(self._environment.folder / "models")
        found: list[ModelEvidence] = []
        for model in self._tried(lambda: build_record.own_models(self._connection), [])[:_MAX_MODELS]:
            relation, rows, problem = "", 0, ""
            if model.relation:
                relation = f"{model.schema}.{model.relation}"
                try:
                    rows = self._read(lambda model=model: self._count(model.schema, model.relation))
                except WarehouseError as error:
                    problem = _short(str(error))
            reads = [_short(name) for name in model.reads]
            sql = texts.get(model.name, "")
            found.append(ModelEvidence(_short(model.name), _short(relation), reads, rows, sql, problem))
        return found

    def _count(self, schema: str, relation: str) -> int:
        """How many rows a table has; at most as many as a graded table may have."""
        quoted = ".".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in (schema, relation))
        row = self._connection.row(f"select count(*) from (select from {quoted} limit {_MAX_TABLE_ROWS}) as found")
        return int(row[0]) if row else 0


class _TooManyRows(Exception):
    """A table has more rows than are read."""


_MAX_TABLE_ROWS = 3 * MAX_ROWS
"""A table with more rows is not read: no workbook gives so many, not even one that is loaded twice."""
_OF_OUR_TABLE = f"""
    left join bronze.loads using (load_id) where coalesce(table_name, '{build_record.OUR_TABLE}') = \
'{build_record.OUR_TABLE}'
"""
_NUMBERS = frozenset({"numeric", "smallint", "integer", "bigint", "real", "double precision"})
_FORMS = {
    "numeric": "trim_scale({0})::text",
    "date": "to_char({0}, 'YYYY-MM-DD')",
    "timestamp without time zone": "to_char({0}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')",
    "timestamp with time zone": "to_char({0} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')",
}
"""How PostgreSQL writes a value as `canonical` does, by its type; other types have the right form already."""


def _as_text(column: str, kind: str) -> str:
    return _FORMS.get(kind, "{0}::text").format(column)


def _sum(values: Sequence[Text]) -> str:
    """The sum of numbers as exact text; empty if one of them is not finite."""
    with localcontext(Context(prec=100)):
        try:
            total = sum((Decimal(value) for value in values if value is not None), Decimal(0))
        except InvalidOperation:
            return ""
    return (canonical(total) or "") if total.is_finite() and abs(total.adjusted()) < 100 else ""


def _model_texts(folder: Path) -> dict[str, str]:
    """The text of each SQL file in a folder and below it, by the name of its model."""
    texts: dict[str, str] = {}
    with suppress(OSError):
        for file in sorted(folder.rglob("*.sql")):
            if file.is_file() and not file.is_symlink() and file.stat().st_size <= _MAX_SQL:
                texts[file.stem] = file.read_text(encoding="utf-8", errors="replace")
    return texts


def _short(text: str) -> str:
    """A name or a message as a submission may hold it: one line, at most 300 characters."""
    return "".join(character if character.isprintable() else " " for character in text)[:300]
