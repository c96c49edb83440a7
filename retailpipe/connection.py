"""A connection to PostgreSQL, over ADBC.

The driver waits in C, with a handler of its own for Ctrl-C that cancels the statement, and then goes on as if nothing
had been. So each call runs in a thread, where the driver leaves signals alone, while the caller's thread waits for it
and hears Ctrl-C as Python does everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from retailpipe.errors import WarehouseError

_T = TypeVar("_T")
_DISK_FULL = "53100"
_CANCELLED = "57014"
_LOST = re.compile("server closed|no connection|connection not open|could not (?:send|receive)|[Bb]roken pipe")
_MOST_DIGITS = 38


class Connection:
    """A connection in a transaction; what is not committed when it is closed is rolled back.

    Parameters of statements stand for $1, $2 and so on. Every method raises WarehouseError.

    remedy: the hint for a connection that is lost.
    """

    def __init__(self, uri: str, remedy: str) -> None:
        self._remedy = remedy
        self._stopped = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="postgresql")
        try:
            self._driver = self._run(lambda: dbapi.connect(uri))
        except WarehouseError as error:
            self._thread.shutdown()
            raise WarehouseError(str(error), hint=remedy) from error

    def execute(self, sql: str, *parameters: object) -> None:
        """Runs a statement that gives no rows, or whose rows do not matter."""
        self.rows(sql, *parameters)

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        return self._query(sql, parameters, lambda cursor: cursor.fetchall())

    def row(self, sql: str, *parameters: object) -> tuple[Any, ...] | None:
        """The first row of a statement; None if there is none."""
        return next(iter(self.rows(sql, *parameters)), None)

    def table(self, sql: str, *parameters: object) -> pa.Table:
        """The rows of a query in Arrow; numerics as decimal128 where 38 digits hold them, else as text."""
        return _plain_numbers(self._query(sql, parameters, lambda cursor: cursor.fetch_arrow_table()))

    def ingest(self, schema: str, table: str, arrow: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        """Appends batches to a table by one COPY. What the iterator raises comes out as it is."""
        failures: list[BaseException] = []

        def watched() -> Iterator[pa.RecordBatch]:
            try:
                for batch in batches:
                    if self._stopped:
                        return
                    yield batch
            except BaseException as error:
                failures.append(error)
                raise

        def copy(cursor: dbapi.Cursor) -> None:
            reader = pa.RecordBatchReader.from_batches(arrow, watched())
            cursor.adbc_ingest(table, reader, mode="append", db_schema_name=schema)

        try:
            self._with_cursor(copy)
        except WarehouseError:
            if failures:
                raise failures[0] from None
            raise

    def commit(self) -> None:
        self._run(self._driver.commit)

    def rollback(self) -> None:
        self._run(self._driver.rollback)

    def close(self) -> None:
        """Rolls back what is not committed, and closes. Raises nothing: there may be no server any more."""
        try:
            self._driver.close()
        except dbapi.Error:
            pass
        finally:
            self._thread.shutdown()

    def _query(self, sql: str, parameters: tuple[object, ...], fetch: Callable[[dbapi.Cursor], _T]) -> _T:
        def run(cursor: dbapi.Cursor) -> _T:
            cursor.execute(sql, parameters or None)
            return fetch(cursor)

        return self._with_cursor(run)

    def _with_cursor(self, work: Callable[[dbapi.Cursor], _T]) -> _T:
        def run() -> _T:
            with self._driver.cursor() as cursor:
                return work(cursor)

        return self._run(run)

    def _run(self, work: Callable[[], _T]) -> _T:
        future = self._thread.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            self._stopped = True
            if hasattr(self, "_driver"):
                self._driver.adbc_cancel()
            wait([future])
            raise
        except dbapi.Error as error:
            raise self._told(error) from error

    def _told(self, error: dbapi.Error) -> WarehouseError:
        """An error of the driver as one of ours."""
        message = _message(error)
        if error.sqlstate == _DISK_FULL:
            hint = (
                "Free some disk space where the database lies, then try again; what was loaded before is still there."
            )
            return WarehouseError(f"the database has no disk space left: {message}", hint=hint)
        if error.sqlstate == _CANCELLED:
            return WarehouseError(f"the database stopped a statement: {message}", hint="Try again.")
        if (error.sqlstate or "").startswith(("08", "57P")) or (not error.sqlstate and _LOST.search(message)):
            return WarehouseError(f"the connection to the database was lost: {message}", hint=self._remedy)
        return WarehouseError(message)


def _message(error: dbapi.Error) -> str:
    """What PostgreSQL said, without what the driver puts around it, the statement, and the row it was at."""
    text = re.split(r"\n\nQuery was:|\nLINE \d+:|\nDETAIL: ", str(error))[0]
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
