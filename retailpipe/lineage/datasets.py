"""Datasets: the workbooks of a store and the tables of a database, under the names that the standard gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from retailpipe.bronze.nul import without_nul
from retailpipe.lineage.facets import Facet, facets
from retailpipe.lineage.services import parameters_of

if TYPE_CHECKING:
    from retailpipe.environment import Environment

Dataset = dict[str, Any]
_PORT = "5432"


@dataclass(frozen=True)
class Name:
    """The name of a dataset."""

    namespace: str
    name: str

    def field(self, column: str, *transformations: Mapping[str, str]) -> Facet:
        """A column of it as an input of another column."""
        found: Facet = {"namespace": self.namespace, "name": self.name, "field": column}
        return found | ({"transformations": [dict(each) for each in transformations]} if transformations else {})

    def dataset(self, **fields: Facet | None) -> Dataset:
        """The dataset with facets."""
        uri = self.namespace if "://" in self.namespace else f"{self.namespace}:"
        source = {"name": self.namespace, "uri": uri}
        return {"namespace": self.namespace, "name": self.name, "facets": facets(dataSource=source, **fields)}


def workbook_name(environment: Environment, key: str) -> Name:
    """The name of a workbook: `s3://BUCKET` and its key, or `file` and its path."""
    address = environment.store.address
    return Name(address, key) if "://" in address else Name("file", plain_text(f"{address}/{key}"))


def plain_text(text: str) -> str:
    """A text that every reader of JSON can store: bytes of a name that are not UTF-8 are shown in digits."""
    return without_nul(text.encode(errors="backslashreplace").decode())


@dataclass(frozen=True)
class Database:
    """The database of a warehouse. namespace: its server, as postgres://HOST:PORT."""

    namespace: str
    name: str

    @classmethod
    def of(cls, environment: Environment) -> Database:
        """The database of an environment, without a connection and without a password.

        The embedded server must be running.
        """
        if environment.stack:
            outputs = environment.stack.outputs
            return cls.at(outputs.database_host, str(outputs.database_port), outputs.database_name)
        if environment.server:
            url = urlsplit(environment.server.url() or "")
            return cls.at(url.hostname or "", str(url.port), unquote(url.path[1:]))
        from psycopg2.extensions import parse_dsn

        env: Mapping[str, str] = {} if environment.warehouse.isolated else os.environ
        parts = parse_dsn(environment.warehouse.uri)
        if service := parts.get("service") or env.get("PGSERVICE"):
            parts = parameters_of(service) | parts
        user = parts.get("user") or env.get("PGUSER", "")
        host = parts.get("host") or parts.get("hostaddr") or env.get("PGHOST") or env.get("PGHOSTADDR", "")
        port = parts.get("port") or env.get("PGPORT", "")
        return cls.at(host, str(port), parts.get("dbname") or env.get("PGDATABASE") or user)

    @classmethod
    def at(cls, host: str, port: str, name: str) -> Database:
        """The database on the first of several hosts, which are separated by commas; a socket is this machine."""
        host, port = host.partition(",")[0], port.partition(",")[0] or _PORT
        host = "localhost" if not host or host.startswith(("/", "@")) else host
        return cls(f"postgres://{f'[{host}]' if ':' in host else quote(host)}:{port}", name)

    def table(self, name: str) -> Name:
        """The name of a table, given as SCHEMA.TABLE."""
        return Name(self.namespace, f"{self.name}.{name}")
