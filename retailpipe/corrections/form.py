"""The form of the workbook with rejected rows: its sheet, its own columns, and a contract with which it is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from retailpipe.bronze.quarantine import OWN_HEADER
from retailpipe.contract import Contract
from retailpipe.contract_columns import Column

SHEET = "rejected rows"


@dataclass(frozen=True)
class Headers:
    """The headers of the own columns; no column of the contract has them.

    row, sheet: of the rejected row in its workbook. problem: what is wrong with it.
    workbook, content: the key and the SHA-256 of that workbook.
    """

    row: str
    sheet: str
    problem: str
    workbook: str
    content: str

    @classmethod
    def of(cls, contract: Contract) -> Headers:
        """The headers for a contract. The same contract always gives the same ones."""
        begin = OWN_HEADER
        taken = [header.casefold() for column in contract.columns for header in column.headers]
        while any(header.startswith(begin) for header in taken):
            begin = f"[{begin}]"
        return cls(*(f"{begin} {name}" for name in ("row", "sheet", "problem", "workbook", "SHA-256")))

    @property
    def read(self) -> tuple[str, ...]:
        """The headers of the columns that are read again."""
        return (self.row, self.sheet, self.workbook, self.content)


def reading_contract(contract: Contract) -> Contract:
    """The contract with which a workbook of rejected rows is read: its own columns, then those of the contract."""
    own = tuple(Column(header, f"own{place}", "string") for place, header in enumerate(Headers.of(contract).read))
    return replace(
        contract,
        columns=(*own, *contract.columns),
        sheets=(SHEET,),
        header_row=1,
        skip_rows=(),
        skip_footer=0,
    )
