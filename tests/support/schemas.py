"""Make schema bronze one of an earlier version."""

from __future__ import annotations

WITHOUT_CORRECTIONS = (
    "drop table bronze.corrected_cells",
    "alter table bronze.rejected_rows drop column cells, drop column corrected_by",
    "alter table bronze.loads drop column corrects, drop column rows_corrected",
    "delete from bronze.migrations where version > 12",
)
"""Statements that make the schema one of version 12, which knew no corrections."""
