"""Write the rejected rows of a load as a workbook for the author of the data."""

from __future__ import annotations

from pathlib import Path

from retailpipe.contract import Contract
from retailpipe.corrections.loaded import key_of, loaded
from retailpipe.corrections.target import check_new_workbook
from retailpipe.environment import Environment
from retailpipe.files import write_file
from retailpipe.reports import RejectsFile


def write_rejects(
    environment: Environment,
    path: str | Path,
    *,
    source: str | None = None,
    contract: Contract | None = None,
    force: bool = False,
) -> RejectsFile:
    """Write the rejected rows of a loaded workbook to an xlsx file, in which its author can correct them.

    The columns are those of the contract; the cells are as they were read. Each cell that breaks the contract is
    coloured, with a comment that says why and how to correct it. `correct` loads the corrected file.

    source: the key of a loaded workbook, with or without `input/`. Default: the only one with rejected rows.
    contract: the contract that it was loaded under. Default: that of the environment.
    force: overwrite the file if it exists.

    Raises UsageError if the file exists, cannot be written or cannot hold the rows; SourceNotFound, NothingLoaded;
    ContractError if the contract has changed since; LoadError if an earlier version of retailpipe made the load;
    WarehouseError.
    """
    from retailpipe.corrections.rejects_workbook import faults_of, rejects_workbook

    target = check_new_workbook(path, force=force)
    with environment.warehouse.connect(read_only=True) as connection:
        load = loaded(connection, environment, key_of(connection, environment, source), contract)
    faults = faults_of(load, load.rejected)
    write_file(target, rejects_workbook(load, load.rejected, faults))
    cells = sum(len(each) for each in faults.values())
    return RejectsFile(str(path), load.entry.source, load.entry.load_id, len(load.rejected), cells)
