"""The service files of libpq: a database URL with `service=NAME` takes its host, port and database from there."""

from __future__ import annotations

import os
from configparser import Error, RawConfigParser
from contextlib import suppress
from pathlib import Path


def parameters_of(service: str) -> dict[str, str]:
    """The parameters of a service, from the user's file or that of the system; none if no file has it.

    They may hold a password.
    """
    files = [os.environ.get("PGSERVICEFILE") or "~/.pg_service.conf"]
    if folder := os.environ.get("PGSYSCONFDIR"):
        files.append(f"{folder}/pg_service.conf")
    for file in files:
        parser = RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=False, allow_no_value=True)
        with suppress(OSError, Error, ValueError, RuntimeError):
            parser.read_string(Path(file).expanduser().read_text("utf-8"))
            if parser.has_section(service):
                return {key: value or "" for key, value in parser.items(service)}
    return {}
