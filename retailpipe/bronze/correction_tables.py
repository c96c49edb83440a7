"""What corrections add to schema bronze: columns of the ledger and of the quarantine, and the corrected cells."""

from __future__ import annotations

CORRECTIONS = (
    """
    alter table bronze.loads
        drop constraint if exists known_status,
        drop constraint if exists every_row_accounted_for,
        add column corrects bigint references bronze.loads,
        add column rows_corrected integer not null default 0
    """,
    """
    alter table bronze.loads
        add constraint known_status check (status in ('loaded', 'correction', 'replaced', 'forgotten')),
        add constraint every_row_accounted_for check (rows_read = rows_loaded + rows_rejected + rows_corrected),
        add constraint only_corrections_correct check (status <> 'correction' or corrects is not null)
    """,
    "create index on bronze.loads (corrects) where corrects is not null",
    # Rows that an earlier version rejected have no cells.
    "alter table bronze.rejected_rows add column cells jsonb",
    "alter table bronze.rejected_rows add column corrected_by bigint references bronze.loads",
    """
    create table bronze.corrected_cells (
        source text not null,
        content_hash text not null,
        sheet text not null,
        source_row integer not null,
        cells jsonb not null,
        file_hash text not null,
        primary key (source, content_hash, sheet, source_row)
    )
    """,
    "comment on table bronze.corrected_cells is 'Corrections: the cells that replace those of a rejected row'",
)
"""The migration of a schema without corrections."""
