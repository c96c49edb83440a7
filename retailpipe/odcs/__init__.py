"""Contracts in the Open Data Contract Standard (ODCS), version 3, which other tools read and write.

https://bitol-io.github.io/open-data-contract-standard describes it. What it has no key for, such as the headers of a
workbook, is in `customProperties`, below names that begin with `retailpipe.`.
"""

from __future__ import annotations

from retailpipe.odcs.exporting import export_odcs
from retailpipe.odcs.importing import ImportedContract, import_odcs

__all__ = ["ImportedContract", "export_odcs", "import_odcs"]
