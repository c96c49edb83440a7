"""Read a workbook under a contract without a database, and report what a load would refuse."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.contract import Contract
from retailpipe.reports import ContractCheck, ContractDraft, Fault, Reject, SheetRead
from retailpipe.snapshots import check_uploadable

if TYPE_CHECKING:
    from retailpipe.workbook.reader import WorkbookReader

_CELLS_SHOWN = 3


def check_contract(contract: Contract | ContractDraft, path: str | Path) -> ContractCheck:
    """Read a whole workbook under a contract, and report which rows a load would accept and reject. Nothing is written.

    contract: or a draft of one, as `draft_contract` returns it.

    A load also checks whether the content is already loaded, and whether the database can store each text.

    Raises SourceNotFound, UsageError, StoreError if the path is not a workbook, WorkbookError if it cannot be read,
    SheetError if no sheet fits the contract, or there are no rows.
    """
    from retailpipe.bronze.judge import Judge
    from retailpipe.workbook.reader import open_workbook

    if isinstance(contract, ContractDraft):
        contract = contract.contract
    path = Path(path)
    check_uploadable(path)
    judge = Judge(contract)
    faults = _Faults(contract)
    rows: Counter[str] = Counter()
    rejected = 0
    with closing(open_workbook(path, contract)) as workbook:
        for layout, chunk in workbook.chunks():
            judge.judge(chunk, layout)
            rows[layout.sheet] += len(chunk.numbers)
            rejected += len(judge.rejects)
            faults.add(judge.rejects)
            judge.rejects.clear()  # only their first cells are needed
            judge.rejected_cells.clear()
        if not judge.rows_read:
            raise workbook.no_rows()
    allowed = contract.rejects_allowed(judge.rows_read)
    return ContractCheck(
        ok=rejected <= allowed,
        file=path.name,
        contract=contract.name,
        table=contract.table,
        sheets=tuple(SheetRead(each.sheet, each.header_row, rows[each.sheet]) for each in workbook.layouts),
        rows_read=judge.rows_read,
        rows_accepted=judge.rows_accepted,
        rows_rejected=rejected,
        rejects_allowed=allowed,
        rows_skipped=workbook.rows_skipped,
        first_date=judge.first_date,
        last_date=judge.last_date,
        faults=faults.reported(),
        ignored_columns=workbook.ignored,
        missing_columns=_missing(workbook, contract),
        is_bound=contract.takes(path.name) if contract.files else None,
    )


class _Faults:
    """Counts rejects by column and code, and keeps the first few of each."""

    def __init__(self, contract: Contract) -> None:
        self._several_sheets = contract.several_sheets
        self._counts: Counter[tuple[str, str]] = Counter()
        self._firsts: dict[tuple[str, str], list[Reject]] = {}

    def add(self, rejects: list[Reject]) -> None:
        for reject in rejects:
            key = reject.column_name, reject.code
            self._counts[key] += 1
            firsts = self._firsts.setdefault(key, [])
            if len(firsts) < _CELLS_SHOWN:
                firsts.append(reject)

    def reported(self) -> tuple[Fault, ...]:
        """The faults, most frequent first."""
        return tuple(
            Fault(
                column_name=column,
                code=code,
                rows=count,
                cells=tuple(self._cell(reject) for reject in self._firsts[column, code]),
                message=self._firsts[column, code][0].message,
                hint=self._firsts[column, code][0].hint,
            )
            for (column, code), count in self._counts.most_common()
        )

    def _cell(self, reject: Reject) -> str:
        return f"{reject.sheet!r} {reject.cell}" if self._several_sheets and reject.sheet else reject.cell


def _missing(workbook: WorkbookReader, contract: Contract) -> tuple[str, ...]:
    """The headers of the optional columns that a sheet does not have."""
    missing = [
        column.header
        for layout in workbook.layouts
        for column, index in zip(contract.columns, layout.columns, strict=True)
        if index is None
    ]
    return tuple(dict.fromkeys(missing))
