"""Imports everything that a load needs. The fork server of `processes` imports this module, once for all workers."""

from __future__ import annotations

from retailpipe.imports import prepare_process

prepare_process()

from retailpipe import connection  # noqa: E402 - what prepare_process sets must come first
from retailpipe.bronze import loader  # noqa: E402 - as above
from retailpipe.workers import tasks  # noqa: E402 - as above

__all__ = ["connection", "loader", "tasks"]
