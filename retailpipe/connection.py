"""A connection to PostgreSQL through ADBC, which can be interrupted by Ctrl-C.

This module uses ADBC's low-level interface. ADBC's DB-API layer is slower to import and handles Ctrl-C itself: it
cancels the statement, but then continues without raising KeyboardInterrupt. Here each connection runs its calls in a
worker thread. The caller's thread waits for the worker, so Python raises KeyboardInterrupt there as usual.
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
from retailpipe.keys import printable
from retailpipe.threads import Worker

_T = TypeVar("_T")
Parameter = str | int
_DISK_FULL = "53100"
_CANCELLED = "57014"
_TRY_AGAIN = ("40P01", "40001", "53300")
"""A deadlock, a conflict of transactions, too many connections: the same statement may succeed later."""
_NOT_IN_ENCODING = "22P05"
_COPIED = re.compile(r"\nCONTEXT: +COPY .+?, line (\d+), column (\w+)")
_LOST = re.compile(
    "server closed|terminating connection|no connection|connection not open|could not (?:send|receive)|[Bb]roken pipe|"
    "unexpected eof|SSL SYSCALL|reset by peer|[Cc]onnection timed out"
)
_KNOWN_BY_TEXT = {"in a read-only transaction": "25006", "permission denied": "42501"}
"""Errors that come while rows are read: Arrow passes on only their text, without the SQLSTATE."""
_MAX_DIGITS = 38
_PARAMETER = re.compile(r"\$(\d+)")
_MAX_INLINE_CHARACTERS = 10_000
"""Parameters with more characters than this in total are bound; shorter ones become constants in the statement."""
_NO_TABLE = (
    'Run `retailpipe query "select table_schema, table_name from information_schema.tables"` to list the tables.'
)
# By SQLSTATE: appendix A of PostgreSQL's manual.
_HINTS = {
    "42601": "Check the syntax. `retailpipe query` runs one SELECT statement.",  # syntax_error
    "42P01": _NO_TABLE,  # undefined_table
    "3F000": _NO_TABLE,  # invalid_schema_name
    # undefined_column
    "42703": "Check the name of the column: `select * from TABLE limit 1` shows the columns of a table.",
    "42702": "Prefix the column with the name of its table, as in loads.load_id.",  # ambiguous_column
    "42883": "Check the name of the function and the types of its arguments.",  # undefined_function
    "42501": "The user of this connection lacks a privilege. Ask the owner of the database to grant it. A load needs "
    "`grant create on database NAME to USER`.",  # insufficient_privilege
    "25006": "This connection cannot write. Connect to the primary server, not to a standby, and check that "
    "default_transaction_read_only is off.",  # read_only_sql_transaction
}


class Connection:
    """A connection with an open transaction; `close` rolls back what is not committed.

    The parameters of a statement replace $1 to $9 in its text. Every method except `close` raises WarehouseError.

    remedy: the hint of the errors "cannot connect" and "connection lost".
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

    def execute(self, sql: str, *parameters: Parameter) -> None:
        """Run a statement and discard its rows, if it returns any."""
        self._table(sql, parameters)

    def rows(self, sql: str, *parameters: Parameter) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows."""
        table = self._table(sql, parameters)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def row(self, sql: str, *parameters: Parameter) -> tuple[Any, ...] | None:
        """Run a statement and return its first row; None if there are no rows."""
        return next(iter(self.rows(sql, *parameters)), None)

    def table(self, sql: str, *parameters: Parameter) -> pa.Table:
        """Run a query and return its rows in Arrow.

        Numeric columns are decimal128 if 38 digits are enough for all their values, otherwise text.
        """
        return _with_decimals(self._table(sql, parameters, many_rows=True))

    def ingest(self, schema: str, table: str, arrow: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        """Append batches to a table with one COPY. An exception of the iterator is raised unchanged."""
        failures: list[BaseException] = []

        def watched() -> Iterator[pa.RecordBatch]:
            try:
                for batch in batches:
                    if self._stopped:
                        return
                    yield batch
            except GeneratorExit:  # the driver stopped reading: not a failure of the iterator
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

    def rollback(self) -> None:
        """Roll back what is not committed. After a statement that failed, nothing else is possible in a transaction."""
        self._run(self._connected.rollback)
        self._uncommitted = False

    def close(self) -> None:
        """Roll back what is not committed, and close. Does not raise, because the connection may already be lost."""
        if self._uncommitted:  # closing alone does not wait for the rollback, and the locks would be held a bit longer
            with suppress(Error):
                self._connected.rollback()
        with suppress(Error):
            self._connected.close()
        self._thread.shutdown()

    @property
    def _connected(self) -> AdbcConnection:
        if self._driver is None:
            raise WarehouseError("the connection was never opened", hint=self._remedy)
        return self._driver

    def _table(self, sql: str, parameters: tuple[Parameter, ...] = (), *, many_rows: bool = False) -> pa.Table:
        def query(statement: AdbcStatement) -> pa.Table:
            if sum(len(str(value)) for value in parameters) > _MAX_INLINE_CHARACTERS:
                statement.set_sql_query(sql)
                statement.bind(_bound(parameters))
            else:
                statement.set_sql_query(_with_constants(sql, parameters))
                if not many_rows:  # COPY is faster for many rows, but costs two more round trips
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
        """Run a call in the worker thread and wait for it. Ctrl-C cancels the running statement first."""
        try:
            return self._thread.submit(work).result()
        except KeyboardInterrupt:
            self._stopped = True
            idle = self._thread.submit(lambda: None)  # runs when the interrupted call has ended
            while not idle.done():
                if self._driver:  # repeatedly: cancelling has no effect before the statement starts
                    self._driver.cancel()
                wait([idle], timeout=0.1)
            raise
        except UnicodeEncodeError as error:
            text = printable(error.object)
            raise WarehouseError(f"the database cannot store a text that is not valid UTF-8: {text}") from error
        except (Error, pa.ArrowException, OSError) as error:  # an error in the Arrow batches is one of the last two
            raise self._as_warehouse_error(error) from error

    def _as_warehouse_error(self, error: Exception) -> WarehouseError:
        """Convert an error of the driver into a WarehouseError."""
        message = _message(error)
        sqlstate = getattr(error, "sqlstate", None) or next(
            (code for text, code in _KNOWN_BY_TEXT.items() if text in message), ""
        )
        if sqlstate == _DISK_FULL:
            hint = "Free some disk space on the database server, then try again. Earlier loads are not affected."
            return WarehouseError(f"the database has no disk space left: {message}", hint=hint, transient=True)
        if sqlstate == _CANCELLED:
            return WarehouseError(f"the database cancelled a statement: {message}", hint="Try again.")
        if sqlstate.startswith(("08", "57P")) or (not sqlstate and _LOST.search(message)):
            return WarehouseError(
                f"the connection to the database was lost: {message}", hint=self._remedy, transient=True
            )
        if sqlstate in _TRY_AGAIN:
            return WarehouseError(message, hint="Try again.", transient=True)
        if sqlstate == _NOT_IN_ENCODING:
            hint = "Load into a database that can store all characters: `create database NAME encoding 'UTF8'`."
            place = _COPIED.search(str(error))
            return WarehouseError(message, hint=hint, copied=(int(place[1]), place[2]) if place else None)
        return WarehouseError(message, hint=_HINTS.get(sqlstate, ""), sqlstate=sqlstate)


_MAX_DATABASES = 4
_databases: dict[str, AdbcDatabase] = {}


def _database(uri: str) -> AdbcDatabase:
    """Return the driver's AdbcDatabase, which holds the types of a database; the last few are cached.

    The driver loads the types over a connection of its own. That takes several times as long as connecting.
    """
    database = _databases.get(uri)
    if database is None:
        if len(_databases) >= _MAX_DATABASES:
            _databases.clear()
        database = _databases[uri] = adbc_driver_postgresql.connect(uri)
    return database


def _with_constants(sql: str, parameters: tuple[Parameter, ...]) -> str:
    """Replace a statement's parameters with constants: binding them costs one more round trip.

    Texts are written in hexadecimal digits, so no setting of the server can make it read their content as SQL.
    """

    def constant(found: re.Match[str]) -> str:
        value = parameters[int(found[1]) - 1]
        if isinstance(value, int):
            return f"'{value}'::bigint"
        return f"convert_from(decode('{value.encode().hex()}', 'hex'), 'UTF8')"

    return _PARAMETER.sub(constant, sql) if parameters else sql


def _bound(parameters: tuple[Parameter, ...]) -> pa.RecordBatch:
    """Return the parameters as a batch of one row. With explicit types, Arrow does not import its date modules."""
    arrays = [pa.array([value], pa.int64() if isinstance(value, int) else pa.string()) for value in parameters]
    return pa.RecordBatch.from_arrays(arrays, names=[f"${number}" for number in range(1, len(arrays) + 1)])


def _message(error: Exception) -> str:
    """Return PostgreSQL's message without the driver's prefix, the statement, and the data of the row."""
    text = re.split(r"\n\nQuery was:|\nLINE \d+:|\n(?:DETAIL|HINT|CONTEXT): ", str(error))[0]
    text = re.sub(r"\.?\s*SQLSTATE: \w*\s*$", "", text.strip())
    text = re.sub(r"^[A-Z_]+: (\[libpq\] )?", "", text)
    return " ".join(re.sub(r"^.*?\bERROR: +", "", text, count=1, flags=re.DOTALL).split())


def _with_decimals(table: pa.Table) -> pa.Table:
    """Convert numeric columns, which the driver returns as opaque text, to decimal128 if 38 digits are enough."""
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
    if scale > _MAX_DIGITS:
        return texts
    try:
        return texts.cast(pa.decimal128(_MAX_DIGITS, scale))
    except (pa.ArrowInvalid, ValueError):  # NaN, Infinity, or more digits than 38
        return texts
