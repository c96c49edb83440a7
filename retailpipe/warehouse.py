"""The warehouse: a PostgreSQL database, its connections and read-only queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from retailpipe.errors import UsageError, WarehouseError
from retailpipe.variables import ISOLATED, connecting

if TYPE_CHECKING:
    import pyarrow as pa

    from retailpipe.connection import Connection

_DEFAULTS = {"application_name": "retailpipe", "connect_timeout": "10"}
"""Of a connection; the timeout is in seconds."""
_PASSWORDS = {"password", "sslpassword"}
_PORTS = re.compile(r"[0-9,]*")
_LAST_PORT = 65535
_FORM = "postgresql://user@host:5432/name"
_UNKNOWN_OPTION = re.compile(r'invalid URI query parameter: "(\w+)"')
_WRONG_VALUE = re.compile("Failed to connect: (invalid|weak|could not match) ")
"""How libpq's errors begin if it refuses a value of the URL or of its variables before it connects."""
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(\w*)", flags=re.DOTALL)
_READING = {"select", "with", "values", "table"}
_ONLY_READS = "A query only reads: write one SELECT without FOR UPDATE, and without functions that change the database."
_QUERY_HINTS = {
    "25006": _ONLY_READS,  # read_only_sql_transaction: it is `query` that makes the transaction read-only
    # insufficient_privilege
    "42501": "A query may read the tables of bronze, silver and gold, but not the files, the passwords and the "
    "settings of the server. On a server of your own, its user needs `grant select` on other tables.",
}
# Texts of the errors feature_not_supported, which has many meanings.
_NOT_SUPPORTED = {
    "cross-database": "A query reads one database. Write SCHEMA.TABLE, without a database before it.",
    "data-modifying": _ONLY_READS,
}


class Warehouse:
    """A PostgreSQL database.

    uri: returns a libpq URI; called for each connection. It may start a server first.
    remedy: the hint of errors when the server cannot be reached.
    readers_uri: maps the URI to the URI of a role that can only read, or to itself if there is no such role.
    isolated: whether to ignore libpq's environment variables, because they are meant for other databases.
    should_retry: whether to retry once after this connection error; the retry calls `uri` again.
    explain: replaces a connection error with a better explanation of it.
    """

    def __init__(
        self,
        uri: Callable[[], str],
        *,
        remedy: str,
        isolated: bool = False,
        readers_uri: Callable[[str], str] = lambda uri: uri,
        should_retry: Callable[[WarehouseError], bool] = lambda error: False,
        explain: Callable[[WarehouseError], WarehouseError] = lambda error: error,
    ) -> None:
        self._uri = uri
        self._remedy = remedy
        self.isolated = isolated
        self._readers_uri = readers_uri
        self._should_retry = should_retry
        self._explain = explain

    @classmethod
    def at(cls, database_url: str) -> Warehouse:
        """The database at a libpq URI, such as postgresql://user@host:5432/name. Raises UsageError for other texts.

        Blanks around the URI, and capital letters in its scheme, make no difference.
        """
        from psycopg2 import ProgrammingError
        from psycopg2.extensions import parse_dsn

        database_url = normal_url(database_url)
        # The URL is checked here, because libpq's own error messages would show parts of a password.
        try:
            parts = parse_dsn(database_url) if database_url.startswith(("postgresql://", "postgres://")) else None
        except (ProgrammingError, UnicodeEncodeError) as error:
            unknown = _UNKNOWN_OPTION.search(str(error))
            if unknown and "@" not in database_url.partition("?")[2]:  # it is not an option, but a part of the password
                raise UsageError(
                    f"the database URL has an option that libpq does not know: {unknown[1]}",
                    hint="Remove it from the URL: options are libpq's, such as sslmode and connect_timeout.",
                ) from None
            parts = None
        if (
            parts is None
            or re.search(r"\s", database_url)
            or "@" in str(parts.get("host"))
            or not _PORTS.fullmatch(str(parts.get("port") or ""))
        ):
            raise UsageError(f"the database URL is not of the form {_FORM}", hint=_url_hint(database_url))
        if any(not 0 < int(port) <= _LAST_PORT for port in str(parts.get("port") or "").split(",") if port):
            raise UsageError(
                f"the port in the database URL is not between 1 and {_LAST_PORT}",
                hint=f"Write a URL such as {_FORM}. In a password, write / as %2F.",
            )
        return cls(
            lambda: database_url,
            remedy="Check the database URL, and check that the server is running.",
            explain=_explained,
        )

    @property
    def uri(self) -> str:
        return self._uri()

    @contextmanager
    def connect(self, *, read_only: bool = False, as_reader: bool = False) -> Generator[Connection]:
        """Open a connection; at the end, close it and roll back what is not committed. Raises WarehouseError.

        read_only: make the first transaction read-only, with one snapshot of the database for all its queries.
        as_reader: connect as the role that can only read, if there is one.
        """
        connection = self._open(as_reader)
        try:
            if read_only:
                connection.execute("set transaction isolation level repeatable read, read only")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def connecting(self) -> Generator[Callable[[], Connection]]:
        """Start connecting in a thread, and yield a function that waits for the connection and returns it.

        The caller can work in the meantime. The connection is like that of `connect`. If connecting fails, the function
        raises its WarehouseError.
        """
        from retailpipe.threads import Worker

        worker = Worker("connecting")
        opening = worker.submit(self._open)
        try:
            yield opening.result
        finally:
            # If the caller did not use the connection, do not wait for it here: the thread closes it later.
            worker.submit(lambda: opening.exception() or opening.result().close())
            worker.shutdown(wait=opening.done())

    def _open(self, as_reader: bool = False) -> Connection:
        try:
            return self._open_with_retry(as_reader)
        except WarehouseError as error:
            raise self._explain(error) from error

    def _open_with_retry(self, as_reader: bool) -> Connection:
        try:
            return self._open_once(as_reader)
        except WarehouseError as error:
            if not self._should_retry(error):
                raise
        return self._open_once(as_reader)

    def _open_once(self, as_reader: bool) -> Connection:
        from retailpipe.connection import Connection

        uri = self._readers_uri(self.uri) if as_reader else self.uri
        defaults = _DEFAULTS | ISOLATED if self.isolated else _DEFAULTS
        with connecting(isolated=self.isolated):
            return Connection(_with_defaults(uri, defaults), self._remedy)

    def query(self, sql: str) -> pa.Table:
        """Run one SELECT in a read-only transaction, and return its rows. Raises WarehouseError.

        The statement becomes a subquery of another SELECT, so PostgreSQL refuses everything else: COPY, COMMIT, a
        second statement. On the embedded server it runs as a role that can only read. On other servers it runs as the
        user of the connection, whose privileges then limit what functions in the statement can do.
        """
        query = sql.strip().rstrip(";")
        first = _FIRST_WORD.match(query)
        if not first or first[1].lower() not in _READING:
            # PostgreSQL's error would be about the other SELECT, which the user did not write.
            what = f"this one begins with {first[1]!r}" if first and first[1] else "this one has no statement"
            raise WarehouseError(f"syntax error: a query is one SELECT, and {what}", hint="Write one SELECT statement.")
        with self.connect(read_only=True, as_reader=True) as connection:
            try:
                # The bracket is on a line of its own: a comment at the end of the query must not hide it.
                return connection.table(f"select * from (\n{query}\n) as answer")
            except WarehouseError as error:
                error.hint = _query_hint(error)
                raise


def without_password(database_url: str) -> str:
    """The URL of the same database without the passwords in it; unchanged if it has none. The URL must be valid."""
    from psycopg2.extensions import make_dsn, parse_dsn

    database_url = normal_url(database_url)
    parts = parse_dsn(database_url)
    if not _PASSWORDS & set(parts):
        return database_url
    kept = {name: value for name, value in parts.items() if name not in _PASSWORDS}
    return "postgresql:///?" + urlencode(parse_dsn(make_dsn(**kept)))


def normal_url(url: str) -> str:
    """The URL without blanks around it and with its scheme in small letters, as libpq needs it."""
    return re.sub(r"^postgres(ql)?://", lambda scheme: scheme[0].lower(), url.strip(), flags=re.IGNORECASE)


def _explained(error: WarehouseError) -> WarehouseError:
    """The error of a connection, which says what to correct if libpq refused a value without trying to connect."""
    if not _WRONG_VALUE.match(str(error)):
        return error
    return WarehouseError(
        str(error), hint="Correct this value in the database URL, or in the variable of libpq, such as PGSSLMODE."
    )


def _query_hint(error: WarehouseError) -> str:
    """The hint for an error of `query`, whose transaction is read-only and whose role may only read."""
    if error.sqlstate == "0A000":
        return next((hint for text, hint in _NOT_SUPPORTED.items() if text in str(error)), "")
    return _QUERY_HINTS.get(error.sqlstate, error.hint)


def _url_hint(url: str) -> str:
    """Return the hint for a URL that libpq does not accept, with advice for the forms that other programs use."""

    def begins(pattern: str) -> bool:
        return bool(re.match(pattern, url, re.IGNORECASE))

    if begins(r"postgres(ql)?\+\w+://"):
        return "Remove the driver from the URL: write postgresql:// instead of postgresql+DRIVER://."
    if begins("jdbc:postgres"):
        return "Remove jdbc: and write the user before the host."
    if begins(r"psql\s|\w+\s*=\s*\W?postgres(ql)?://"):
        return "Pass only the URL, without what is before postgresql://."
    if begins(r"[\w ]+=.*;"):
        return "Write it as a URL: instead of Server=h;Port=5432;Database=n;User Id=u, write postgresql://u@h:5432/n."
    if begins(r"\w+\s*="):
        return "Write it as a URL: instead of host=h port=5432 dbname=n user=u, write postgresql://u@h:5432/n."
    if begins(r"jdbc:|[\w+.-]+://") and not begins("postgres(ql)?://"):
        return f"The database must be PostgreSQL: pass a URL such as {_FORM}."
    if "://" not in url:
        return f"Write postgresql:// before it: a URL looks like {_FORM}."
    return (
        "Set the password in PGPASSWORD or in a passfile. In a URL, percent-encode special characters: write "
        "/ @ % # and blank as %2F %40 %25 %23 %20."
    )


def _with_defaults(uri: str, defaults: Mapping[str, str]) -> str:
    """Return the URI with defaults for settings that it does not have; the rest of its text is unchanged.

    The client encoding is always UTF-8, because the driver supports nothing else. It overrides the URI, the
    environment, the role and the database: libpq uses the last of repeated settings, and a setting in the URI has
    precedence over PGOPTIONS.
    """
    start, _, query = uri.partition("?")
    given = {setting.partition("=")[0] for setting in query.split("&")}
    if ":" in start.partition("://")[2].rpartition("@")[0]:  # USER:PASSWORD@
        given.add("password")
    added = {name: value for name, value in defaults.items() if name not in given} | {"client_encoding": "UTF8"}
    return f"{uri}{'&' if query else '?'}{urlencode(added)}"
