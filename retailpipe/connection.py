"""A connection to PostgreSQL, over ADBC.

ADBC's own interface is used, not its DB-API on top: that one is slower to import, and takes Ctrl-C to itself,
cancelling a statement and then going on as if nothing had been. Here each call waits in a thread of its own, while the
caller's thread waits for it and hears Ctrl-C as Python does everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import suppress
from typing import Any, TypeVar

import adbc_driver_postgresql
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcDatabase, AdbcStatement, Error

from retailpipe.errors import WarehouseError
from retailpipe.threads import Worker

_T = TypeVar("_T")
_DISK_FULL = "53100"
_CANCELLED = "57014"
_NOT_IN_ENCODING = "22P05"
_COPIED = re.compile(r"\nCONTEXT: +COPY .+?, line (\d+), column (\w+)")
_LOST = re.compile(
    "server closed|terminating connection|no connection|connection not open|could not (?:send|receive)|[Bb]roken pipe|"
    "unexpected eof|SSL SYSCALL|reset by peer|[Cc]onnection timed out"
)
_MOST_DIGITS = 38
_PARAMETER = re.compile(r"\$([1-9])")
_MOST_IN_TEXT = 10_000
# By PostgreSQL's codes of errors (appendix A of its manual).
_NO_TABLE = (
    'See what there is with `retailpipe query "select table_schema, table_name from information_schema.tables"`.'
)
_HINTS = {
    "42601": "A question is one SELECT.",  # syntax_error
    "0A000": "A question is one SELECT, which only reads.",  # feature_not_supported
    "42P01": _NO_TABLE,  # undefined_table
    "3F000": _NO_TABLE,  # invalid_schema_name
    "42703": "Check its name: `select * from` the table shows its columns.",  # undefined_column
    "42702": "Put the table before the column, as in loads.load_id.",  # ambiguous_column
    "42883": "Check the name of the function, and the types of what it is given.",  # undefined_function
    "42501": "The user of this connection lacks a right, and the owner of the database can give it. A load needs "
    "`grant create on database NAME to USER`.",  # insufficient_privilege
    "25006": "This connection cannot write. Name the primary server, not a standby, and see that "
    "default_transaction_read_only is off.",  # read_only_sql_transaction
}


class Connection:
    """A connection in a transaction; what is not committed when it is closed is rolled back.

    Parameters of statements stand for $1, $2 and so on. Every method raises WarehouseError.

    remedy: the hint for a connection that is lost.
    """

    def __init__(self, uri: str, remedy: str) -> None:
        self._remedy = remedy
        self._stopped = False
        self._uncommitted = False
        self._thread = Worker("postgresql")
        self._driver: AdbcConnection | None = None
        try:
            self._driver = self._run(lambda: AdbcConnection(_database(uri)))
            self._driver.set_autocommit(False)
        except BaseException as error:
            self._thread.shutdown()
            if isinstance(error, WarehouseError):
                raise WarehouseError(str(error), hint=remedy, transient=True) from error
            raise

    def execute(self, sql: str, *parameters: object) -> None:
        """Runs a statement that gives no rows, or whose rows do not matter."""
        self._table(sql, parameters)

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        table = self._table(sql, parameters)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def row(self, sql: str, *parameters: object) -> tuple[Any, ...] | None:
        """The first row of a statement; None if there is none."""
        return next(iter(self.rows(sql, *parameters)), None)

    def table(self, sql: str, *parameters: object) -> pa.Table:
        """The rows of a query in Arrow; numerics as decimal128 where 38 digits hold them, else as text."""
        return _plain_numbers(self._table(sql, parameters, many_rows=True))

    def ingest(self, schema: str, table: str, arrow: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        """Appends batches to a table by one COPY. What the iterator raises comes out as it is."""
        failures: list[BaseException] = []

        def watched() -> Iterator[pa.RecordBatch]:
            try:
                for batch in batches:
                    if self._stopped:
                        return
                    yield batch
            except GeneratorExit:  # the driver has given up
                raise
            except BaseException as error:
                failures.append(error)
                raise

        def copy(statement: AdbcStatement) -> None:
            options = {"target_table": table, "target_db_schema": schema, "mode": "adbc.ingest.mode.append"}
            statement.set_options(**{f"adbc.ingest.{name}": value for name, value in options.items()})
            statement.bind_stream(pa.RecordBatchReader.from_batches(arrow, watched()))
            statement.execute_update()

        try:
            self._with_statement(copy)
        except WarehouseError:
            if failures:
                raise failures[0] from None
            raise

    def commit(self) -> None:
        self._run(self._connected.commit)
        self._uncommitted = False

    def close(self) -> None:
        """Rolls back what is not committed, and closes. Raises nothing: there may be no server any more."""
        if self._uncommitted:  # waits for it, so that nobody meets a lock of this transaction afterwards
            with suppress(Error):
                self._connected.rollback()
        with suppress(Error):
            self._connected.close()
        self._thread.shutdown()

    @property
    def _connected(self) -> AdbcConnection:
        if self._driver is None:
            raise WarehouseError("the connection was never made", hint=self._remedy)
        return self._driver

    def _table(self, sql: str, parameters: tuple[object, ...] = (), *, many_rows: bool = False) -> pa.Table:
        def query(statement: AdbcStatement) -> pa.Table:
            if sum(len(str(value)) for value in parameters) > _MOST_IN_TEXT:
                statement.set_sql_query(sql)
                statement.bind(_bound(parameters))
            else:
                statement.set_sql_query(_with_constants(sql, parameters))
                if not many_rows:  # a COPY is quicker by the row, and takes two round trips more
                    statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            stream, _ = statement.execute_query()
            return pa.RecordBatchReader.from_stream(stream).read_all()

        return self._with_statement(query)

    def _with_statement(self, work: Callable[[AdbcStatement], _T]) -> _T:
        def run() -> _T:
            self._uncommitted = True
            statement = AdbcStatement(self._connected)
            try:
                return work(statement)
            finally:
                statement.close()

        return self._run(run)

    def _run(self, work: Callable[[], _T]) -> _T:
        try:
            return self._thread.submit(work).result()
        except KeyboardInterrupt:
            self._stopped = True
            idle = self._thread.submit(lambda: None)  # has its turn when all before it has ended
            while not idle.done():
                if self._driver:  # again and again: a statement that has not begun yet is not cancelled
                    self._driver.cancel()
                wait([idle], timeout=0.1)
            raise
        except (Error, pa.ArrowException, OSError) as error:  # the last two where it is met among the rows
            raise self._told(error) from error

    def _told(self, error: Exception) -> WarehouseError:
        """An error of the driver as one of ours."""
        message, sqlstate = _message(error), getattr(error, "sqlstate", None) or ""
        if sqlstate == _DISK_FULL:
            hint = (
                "Free some disk space where the database lies, then try again; what was loaded before is still there."
            )
            return WarehouseError(f"the database has no disk space left: {message}", hint=hint, transient=True)
        if sqlstate == _CANCELLED:
            return WarehouseError(f"the database stopped a statement: {message}", hint="Try again.")
        if sqlstate.startswith(("08", "57P")) or (not sqlstate and _LOST.search(message)):
            told = f"the connection to the database was lost: {message}"
            return WarehouseError(told, hint=self._remedy, transient=True)
        if sqlstate == _NOT_IN_ENCODING:
            hint = "Load into a database that can hold all characters: `create database NAME encoding 'UTF8'`."
            place = _COPIED.search(str(error))
            return WarehouseError(message, hint=hint, copied=(int(place[1]), place[2]) if place else None)
        return WarehouseError(message, hint=_HINTS.get(sqlstate, ""))


_MOST_DATABASES = 4
_databases: dict[str, AdbcDatabase] = {}


def _database(uri: str) -> AdbcDatabase:
    """What the driver keeps of a database: its types.

    It asks for them in a connection of its own, which takes several times as long as to connect, so some are kept.
    """
    database = _databases.get(uri)
    if database is None:
        if len(_databases) >= _MOST_DATABASES:
            _databases.clear()
        database = _databases[uri] = adbc_driver_postgresql.connect(uri)
    return database


def _with_constants(sql: str, parameters: tuple[object, ...]) -> str:
    """A statement with its parameters as constants: to bind them takes one more round trip.

    A text is written in hexadecimal digits, so nothing in it can be read as SQL, whatever the server's settings are.
    """

    def constant(found: re.Match[str]) -> str:
        value = parameters[int(found[1]) - 1]
        if isinstance(value, int):
            return f"({value}::bigint)"
        return f"convert_from(decode('{str(value).encode().hex()}', 'hex'), 'UTF8')"

    return _PARAMETER.sub(constant, sql) if parameters else sql


def _bound(parameters: tuple[object, ...]) -> pa.RecordBatch:
    """The texts and integers that stand for $1, $2 and so on. Arrow would import modules of dates to tell a type."""
    arrays = [pa.array([value], pa.int64() if isinstance(value, int) else pa.string()) for value in parameters]
    return pa.RecordBatch.from_arrays(arrays, names=[f"${place}" for place in range(1, len(arrays) + 1)])


def _message(error: Exception) -> str:
    """What PostgreSQL said, without what the driver puts around it, the statement, and the row it was at."""
    text = re.split(r"\n\nQuery was:|\nLINE \d+:|\n(?:DETAIL|HINT|CONTEXT): ", str(error))[0]
    text = re.sub(r"\.?\s*SQLSTATE: \w*\s*$", "", text.strip())
    text = re.sub(r"^[A-Z_]+: (\[libpq\] )?", "", text)
    return " ".join(re.sub(r"^.*?\bERROR: +", "", text, count=1, flags=re.DOTALL).split())


def _plain_numbers(table: pa.Table) -> pa.Table:
    """PostgreSQL's numeric arrives as text of an opaque type: this makes it decimal128 where 38 digits hold it."""
    for index, field in enumerate(table.schema):
        if not isinstance(field.type, pa.OpaqueType):
            continue
        texts = pa.chunked_array([chunk.storage for chunk in table.column(index).chunks], field.type.storage_type)
        if field.type.type_name == "numeric" and pa.types.is_string(texts.type):
            texts = _decimals(texts)
        table = table.set_column(index, field.name, texts)
    return table


def _decimals(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    values = [text for text in texts.to_pylist() if text is not None]
    scale = max((len(text.partition(".")[2]) for text in values), default=0)
    if scale > _MOST_DIGITS:
        return texts
    try:
        return texts.cast(pa.decimal128(_MOST_DIGITS, scale))
    except (pa.ArrowInvalid, ValueError):  # NaN, Infinity, or more digits than 38
        return texts
