"""The warehouse: a PostgreSQL database, and how it is reached."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retailpipe.errors import UsageError, WarehouseError
from retailpipe.variables import connecting

if TYPE_CHECKING:
    import pyarrow as pa

    from retailpipe.connection import Connection

_CONNECT_TIMEOUT_SECONDS = 10
_PORTS = re.compile(r"[0-9,]*")


class Warehouse:
    """A PostgreSQL database.

    uri: gives, each time a connection is made, a libpq URI; it may start a server first.
    remedy: what to do when the server does not answer, for hints.
    readers_uri: gives, from such a URI, that of a role which can only read; the same one where there is none.
    isolated: whether libpq's environment variables are for other databases than this one.
    again: whether a connection that failed is to be tried once more, with what `uri` gives then.
    explain: puts why a connection failed better than libpq knows.
    """

    def __init__(
        self,
        uri: Callable[[], str],
        *,
        remedy: str,
        isolated: bool = False,
        readers_uri: Callable[[str], str] = lambda uri: uri,
        again: Callable[[WarehouseError], bool] = lambda error: False,
        explain: Callable[[WarehouseError], WarehouseError] = lambda error: error,
    ) -> None:
        self._uri = uri
        self._remedy = remedy
        self.isolated = isolated
        self._readers_uri = readers_uri
        self._again = again
        self._explain = explain

    @classmethod
    def at(cls, database_url: str) -> Warehouse:
        """The database at a libpq URI, such as postgresql://user@host:5432/name. Raises UsageError if it is none."""
        from psycopg2 import ProgrammingError
        from psycopg2.extensions import parse_dsn

        # What libpq makes of it is looked at here, since its own messages would repeat parts of a password.
        try:
            parts = parse_dsn(database_url) if database_url.startswith(("postgresql://", "postgres://")) else None
        except ProgrammingError:
            parts = None
        if (
            parts is None
            or re.search(r"\s", database_url)
            or "@" in str(parts.get("host"))
            or not _PORTS.fullmatch(str(parts.get("port") or ""))
        ):
            raise UsageError(
                "the database URL is not of the form postgresql://user@host:5432/name", hint=_url_hint(database_url)
            )
        return cls(lambda: database_url, remedy="Check the database URL, and that the server runs.")

    @property
    def uri(self) -> str:
        return self._uri()

    @contextmanager
    def connect(self, *, read_only: bool = False, as_reader: bool = False) -> Generator[Connection]:
        """A connection whose transaction is rolled back at the end unless it was committed. Raises WarehouseError.

        as_reader: by the role that can only read, where there is one.
        """
        connection = self._open(as_reader)
        try:
            if read_only:
                # One view of the database for all questions.
                connection.execute("set transaction isolation level repeatable read, read only")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def connecting(self) -> Generator[Callable[[], Connection]]:
        """Begins to connect, and gives what waits for the connection: a slow link costs nothing where there is work.

        The connection is one as `connect` gives it. What connecting raises, waiting for it raises.
        """
        from retailpipe.threads import Worker

        worker = Worker("connecting")
        opening = worker.submit(self._open)
        try:
            yield opening.result
        finally:
            # Nobody waits for a connection that nobody wants any more: it is closed when it is there.
            worker.submit(lambda: opening.exception() or opening.result().close())
            worker.shutdown(wait=opening.done())

    def _open(self, as_reader: bool = False) -> Connection:
        try:
            return self._connected_again(as_reader)
        except WarehouseError as error:
            raise self._explain(error) from error

    def _connected_again(self, as_reader: bool) -> Connection:
        try:
            return self._connected(as_reader)
        except WarehouseError as error:
            if not self._again(error):
                raise
        return self._connected(as_reader)

    def _connected(self, as_reader: bool) -> Connection:
        from retailpipe.connection import Connection

        uri = self._readers_uri(self.uri) if as_reader else self.uri
        with connecting(isolated=self.isolated):
            return Connection(_with_defaults(uri), self._remedy)

    def query(self, sql: str) -> pa.Table:
        """The rows of one SELECT, in a transaction that cannot write. Raises WarehouseError.

        It is asked as a part of a SELECT of ours, so nothing else is taken: no COPY, no COMMIT, no second statement.
        On the embedded server it is asked by a role that can only read; elsewhere by the user of the connection, whose
        rights then are the bounds of what functions can do.
        """
        question = sql.strip().rstrip(";")
        with self.connect(read_only=True, as_reader=True) as connection:
            # A comment at its end must not take our own end with it.
            return connection.table(f"select * from (\n{question}\n) as answer")


def _url_hint(url: str) -> str:
    """What to do about a URL that other programs take, and libpq does not."""
    if re.match(r"postgres(ql)?\+\w+://", url):
        return "Leave out the name of the driver: what stands from + to ://."
    if url.startswith("jdbc:"):
        return "Leave out jdbc:, and write the user before the host."
    if re.match(r"\s*\w+\s*=", url):
        return "Write its words as a URL: host=h port=5432 dbname=n user=u is postgresql://u@h:5432/n."
    return (
        "Give the password in PGPASSWORD or a passfile; within the URL, signs such as / @ % # and blanks are written "
        "%2F %40 %25 %23 %20."
    )


def _with_defaults(uri: str) -> str:
    """The URI with our own settings where it has none; the rest of its text is left to libpq.

    The encoding is ours whatever the URI, the environment, the role or the database says: the driver takes and gives
    UTF-8 alone. Of a setting that stands twice libpq takes the last, and one of its own comes after PGOPTIONS.
    """
    for name, value in (("application_name", "retailpipe"), ("connect_timeout", str(_CONNECT_TIMEOUT_SECONDS))):
        if f"{name}=" not in uri:
            uri += f"{'&' if '?' in uri else '?'}{name}={value}"
    return f"{uri}{'&' if '?' in uri else '?'}client_encoding=UTF8"
