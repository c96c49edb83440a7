"""The warehouse: a PostgreSQL database, reached over ADBC."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from retailpipe.errors import UsageError, WarehouseError

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_postgresql.dbapi import Connection, Cursor, Error

_CONNECT_TIMEOUT_SECONDS = 10
_DISK_FULL = "53100"


class Warehouse:
    """A PostgreSQL database.

    uri: gives, each time a connection is made, a libpq URI; it may start a server first.
    restart: the command that mends a server which does not answer, for hints.
    """

    def __init__(self, uri: Callable[[], str], *, remedy: str) -> None:
        self._uri = uri
        self._remedy = remedy

    @classmethod
    def at(cls, database_url: str) -> Warehouse:
        """The database at a libpq URI, such as postgresql://user@host:5432/name. Raises UsageError if it is none."""
        if urlsplit(database_url).scheme not in ("postgresql", "postgres"):
            raise UsageError(
                "the database URL must begin with postgresql://",
                hint="Give one such as postgresql://user@host:5432/name, and the password in PGPASSWORD.",
            )
        return cls(lambda: database_url, remedy="Check the database URL, and that the server runs.")

    @property
    def uri(self) -> str:
        return self._uri()

    @contextmanager
    def connect(self, *, read_only: bool = False) -> Generator[Connection]:
        """A connection whose transaction is rolled back at the end unless it was committed.

        Raises WarehouseError if the server cannot be reached, or refuses a statement within.
        """
        from adbc_driver_postgresql import dbapi

        try:
            connection = dbapi.connect(_with_options(self.uri, read_only=read_only))
        except dbapi.Error as error:
            raise WarehouseError(_told(error), hint=self._remedy) from error
        try:
            with connection:
                yield connection
                connection.rollback()
        except dbapi.Error as error:
            raise self.error(error) from error

    def query(self, sql: str) -> pa.Table:
        """The rows of one SELECT, in a transaction that cannot write. Raises WarehouseError."""
        with self.connect(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return plain_numbers(cursor.fetch_arrow_table())

    def error(self, error: Error) -> WarehouseError:
        """An error of the driver as one of ours, without the statement it repeats."""
        if error.sqlstate == _DISK_FULL:
            return WarehouseError(f"the database has no disk space left: {_told(error)}", hint="Free some space.")
        if error.sqlstate is None or error.sqlstate.startswith(("57", "08")) or "server closed" in str(error):
            return WarehouseError(f"the connection to the database was lost: {_told(error)}", hint=self._remedy)
        return WarehouseError(_told(error))


def fetch_one(cursor: Cursor, sql: str, parameters: tuple[Any, ...] | None = None) -> tuple[Any, ...] | None:
    """The first row of a query, or None."""
    cursor.execute(sql, parameters)
    return cursor.fetchone()


def plain_numbers(table: pa.Table) -> pa.Table:
    """PostgreSQL's numeric arrives as text of an opaque type: this makes it decimal128 where 38 digits hold it.

    Values that no decimal holds (NaN, or more digits) leave the column as text.
    """
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if not isinstance(field.type, pa.OpaqueType):
            continue
        texts = pa.chunked_array([chunk.storage for chunk in table.column(index).chunks], field.type.storage_type)
        if field.type.type_name == "numeric" and pa.types.is_string(texts.type):
            table = table.set_column(index, field.name, _decimals(texts))
        else:
            table = table.set_column(index, field.name, texts)
    return table


def _decimals(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    values = [text for text in texts.to_pylist() if text is not None]
    scale = max((len(text.partition(".")[2]) for text in values), default=0)
    try:
        return texts.cast(pa.decimal128(38, scale))
    except (pa.ArrowInvalid, ValueError):
        return texts


def _with_options(uri: str, *, read_only: bool) -> str:
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    options.setdefault("application_name", "retailpipe")
    options.setdefault("connect_timeout", str(_CONNECT_TIMEOUT_SECONDS))
    if read_only:
        options["options"] = f"{options.get('options', '')} -c default_transaction_read_only=on".strip()
    return urlunsplit(parts._replace(query=urlencode(options, quote_via=quote)))


def _told(error: BaseException) -> str:
    """What PostgreSQL said, without what the driver puts around it: a code, the statement, a COPY of its own."""
    text = str(error).split("\n\nQuery was:")[0].split("\nLINE 1:")[0]
    text = re.sub(r"\.?\s*SQLSTATE: \w*\s*$", "", text.strip())
    text = re.sub(r"^[A-Z_]+: (\[libpq\] )?", "", text)
    return " ".join(re.sub(r"^.*?\bERROR: +", "", text, count=1, flags=re.DOTALL).split())
