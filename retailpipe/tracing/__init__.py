"""Trace a figure of silver or gold to the cells that it came from, and a cell to the figures that it is part of.

How a table is traced is declared in the yml of its model; docs/trace.md describes the keys.
"""

from __future__ import annotations

from retailpipe.tracing.cells import trace_cell
from retailpipe.tracing.figures import trace
from retailpipe.tracing.findings import CellTrace, Contribution, Figure, Trace, Workbook

__all__ = ["CellTrace", "Contribution", "Figure", "Trace", "Workbook", "trace", "trace_cell"]
