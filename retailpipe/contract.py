"""Contracts: the columns, types and rules that a workbook must follow, read from a TOML file.

docs/contract.md describes the file. The reader and the loader contain no column names: all they use about a workbook is
in its contract.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retailpipe.contract_columns import Column, Separators, column_of, identifier, separators_of
from retailpipe.errors import ContractError
from retailpipe.keys import INPUT
from retailpipe.paths import reason
from retailpipe.toml_file import TomlFile

if TYPE_CHECKING:
    import pyarrow as pa

MINIMUM_REJECTS_ALLOWED = 10
"""If `max_rejects` is a share of the rows, at least this many rejects are allowed, even in a small workbook."""

_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
OWN_TABLES = {
    *("builds", "corrected_cells", "etags", "loads", "migrations", "own_models", "refusals", "rejected_rows"),
    "sheet_layouts",
}
"""Names that a contract's table may not have: tables of retailpipe in schema bronze."""
ALL_SHEETS = "all"
_CORRECT = "Correct this line of the contract."
_KEYS = {
    *("name", "table", "max_rejects", "max_overlap", "columns", "files"),
    *("sheet", "header_row", "skip_rows", "skip_footer", "decimal", "thousands", "delimiter", "encoding"),
}
_MAX_ROWS = 1_048_576
_MAX_FOOTER = 1_000
DELIMITERS = {",": '","', ";": '";"', "\t": r'"\t"', "|": '"|"'}
_SKIP_RULE = '{ column = "InvoiceNo", matches = "Total*" }'


def wildcard(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern in which * stands for any characters and ? for one; case is ignored.

    It must match the whole text.
    """
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")), re.IGNORECASE)


@dataclass(frozen=True)
class SkipRule:
    """A rule for rows to skip: those whose cell in a column matches a pattern; "" matches blank cells.

    column: the header of the column.
    """

    column: str
    matches: str


@dataclass(frozen=True)
class Contract:
    """The contract of one kind of workbook.

    table: the table in schema bronze that the rows are loaded into.
    max_rejects: the number of rows that may break the contract; with more, nothing is loaded. An int is a number of
        rows, a Decimal is a share of the rows read (Decimal("0.01") is one percent).
    max_overlap: the share of a workbook's rows that other workbooks may hold too; with more, nothing is loaded.
    fingerprint: a hash of the contract's content without comments; when it changes, workbooks are loaded again.
    sheets: the names of the sheets to load, or patterns of names, or ALL_SHEETS; empty for the only sheet that fits.
    header_row: the row of the header, as Excel shows it; None for the first row that is not blank.
    skip_rows: the rules for rows to skip.
    skip_footer: how many of the last rows that are not blank are skipped.
    delimiter, encoding: of CSV files; None to detect the delimiter, and for UTF-8.
    files: patterns of the names of the workbooks that this contract is for.
    """

    name: str
    table: str
    columns: tuple[Column, ...]
    max_rejects: int | Decimal
    fingerprint: str
    max_overlap: Decimal = Decimal("0.5")
    sheets: tuple[str, ...] = ()
    header_row: int | None = None
    skip_rows: tuple[SkipRule, ...] = ()
    skip_footer: int = 0
    delimiter: str | None = None
    encoding: str | None = None
    files: tuple[str, ...] = ()

    @classmethod
    def default(cls) -> Contract:
        """The contract of the "Online Retail" workbook."""
        return _default()

    @classmethod
    def from_file(cls, path: str | Path) -> Contract:
        """Read a contract from a TOML file. Raises ContractError, which names the file and the line of the mistake."""
        path = Path(path)
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
                raise ContractError(f"the contract {path} is not a regular file", hint="Pass a regular TOML file.")
            content = path.read_bytes()
            # Some Windows editors write a byte order mark at the start of the file.
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ContractError(f"{path}, line {line} is not UTF-8: {error.reason}", hint=_CORRECT) from error
        except (OSError, ValueError) as error:
            raise ContractError(
                f"cannot read the contract {path}: {reason(error)}",
                hint="Check that it is a TOML file that you can read.",
            ) from error
        return cls.from_text(text, str(path))

    @classmethod
    def from_text(cls, text: str, file: str) -> Contract:
        """Read a contract from the text of a TOML file. file: its name in messages. Raises ContractError."""
        return _Reader(file, text).contract()

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([pa.field(c.name, c.arrow_type, nullable=not c.required) for c in self.columns])

    @property
    def several_sheets(self) -> bool:
        """Whether several sheets are loaded together; the table then has a column `source_sheet`."""
        is_pattern = any(each.casefold() == ALL_SHEETS or not {"*", "?"}.isdisjoint(each) for each in self.sheets)
        return is_pattern or len(self.sheets) > 1

    def reads_sheet(self, name: str) -> bool:
        """Whether `sheet` allows the sheet of this name. Case is ignored, as in Excel."""
        if not self.sheets:
            return True
        return any(each.casefold() == ALL_SHEETS or wildcard(each).fullmatch(name.strip()) for each in self.sheets)

    def takes(self, key: str) -> bool:
        """Whether one of `files` matches the key of a workbook, such as input/branch-7.xlsx.

        A pattern without a slash is compared with the file's name, another one with the whole key below input/. Case
        is ignored. A contract without `files` matches no workbook.
        """
        path = key.removeprefix(INPUT)
        name = path.rpartition("/")[2]
        return any(wildcard(pattern).fullmatch(path if "/" in pattern else name) for pattern in self.files)

    @property
    def date_column(self) -> str | None:
        """The first date column, or None; the ledger records its first and last value."""
        return next((column.name for column in self.columns if column.is_date), None)

    def rejects_allowed(self, rows_read: int) -> int:
        """How many of `rows_read` rows may break the contract."""
        if isinstance(self.max_rejects, int):
            return self.max_rejects
        return max(MINIMUM_REJECTS_ALLOWED, int(rows_read * self.max_rejects))


@cache
def _default() -> Contract:
    file = resources.files("retailpipe") / "contracts" / "online_retail.toml"
    return Contract.from_text(file.read_text(encoding="utf-8"), file.name)


def _share(value: object) -> Decimal | None:
    """A share such as "1%" as a fraction; None if the value is not a share."""
    found = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    return Decimal(found[1]) / 100 if found and Decimal(found[1]) <= 100 else None


class _Reader:
    """Parses the text of a contract; reports each mistake as a ContractError with its line."""

    def __init__(self, file: str, text: str) -> None:
        self._toml = TomlFile(file, text, "columns", ContractError, _CORRECT)
        self._data = self._toml.data

    def contract(self) -> Contract:
        toml, data = self._toml, self._data
        toml.only_keys(data, _KEYS)
        raw_columns = data.get("columns")
        if not isinstance(raw_columns, list) or not raw_columns:
            raise toml.error("columns", None, "there are no columns: write each column in a [[columns]] section")
        if toml.sections != len(cast("list[Any]", raw_columns)):
            raise toml.error("columns", None, "write each column in its own [[columns]] section")
        separators = separators_of(toml, data, None, Separators())
        columns = tuple(
            column_of(toml, number, raw, separators) for number, raw in enumerate(cast("list[Any]", raw_columns))
        )
        self._check_columns(columns)
        canonical = json.dumps(data, sort_keys=True, default=str)
        return Contract(
            name=toml.text(data, "name", None),
            table=identifier(toml, data, "table", None, OWN_TABLES),
            columns=columns,
            max_rejects=self._max_rejects(),
            max_overlap=self._max_overlap(),
            fingerprint=hashlib.sha256(canonical.encode()).hexdigest(),
            sheets=tuple(each.strip() for each in self._one_or_several("sheet")),
            header_row=toml.whole(data, "header_row", None, _MAX_ROWS),
            skip_rows=self._skip_rules(),
            skip_footer=toml.whole(data, "skip_footer", None, _MAX_FOOTER) or 0,
            delimiter=toml.choice(data, "delimiter", None, DELIMITERS),
            encoding=self._encoding(),
            files=self._one_or_several("files"),
        )

    def _check_columns(self, columns: Sequence[Column]) -> None:
        """Raise ContractError if a header or a name is used twice, or every column is optional."""
        seen_names: set[str] = set()
        seen_headers: set[str] = set()
        for number, column in enumerate(columns):
            headers = [("header", column.header), *(("aliases", alias) for alias in column.aliases)]
            for key, text, seen in [*((*each, seen_headers) for each in headers), ("name", column.name, seen_names)]:
                if text.casefold() in seen:
                    named = "header" if key == "aliases" else key
                    raise self._toml.error(key, number, f"{named} {text!r} is used twice")
                seen.add(text.casefold())
        if all(column.optional for column in columns):
            raise self._toml.error("optional", 0, "at least one column must not be optional")

    def _skip_rules(self) -> tuple[SkipRule, ...]:
        value = self._data.get("skip_rows", [])
        if not isinstance(value, list):
            raise self._toml.error("skip_rows", None, f"skip_rows must be a list of rules such as {_SKIP_RULE}")
        return tuple(self._skip_rule(rule) for rule in cast("list[object]", value))

    def _skip_rule(self, rule: object) -> SkipRule:
        table = cast("dict[str, Any]", rule) if isinstance(rule, dict) else {}
        column, matches = table.get("column"), table.get("matches")
        if set(table) != {"column", "matches"} or not isinstance(column, str) or not isinstance(matches, str):
            raise self._toml.error("skip_rows", None, f"each rule of skip_rows must be of the form {_SKIP_RULE}")
        if not column.strip():
            raise self._toml.error("skip_rows", None, "column must be the header of a column")
        return SkipRule(column.strip(), matches.strip())

    def _encoding(self) -> str | None:
        if "encoding" not in self._data:
            return None
        value = self._toml.text(self._data, "encoding", None)
        try:
            "".encode(value)
        except (LookupError, ValueError) as error:
            reason = f"unknown encoding {value!r}; use one such as utf-8, cp1252 or iso-8859-1"
            raise self._toml.error("encoding", None, reason) from error
        return value

    def _one_or_several(self, key: str) -> tuple[str, ...]:
        """A key that is a string or a list of strings; () if it is missing."""
        if isinstance(self._data.get(key), str):
            return (self._toml.text(self._data, key, None),)
        return self._toml.texts(self._data, key, None)

    def _max_rejects(self) -> int | Decimal:
        value = self._data.get("max_rejects", "1%")
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        share = _share(value)
        if share is None:
            raise self._toml.error("max_rejects", None, 'max_rejects must be a number of rows, or a share such as "1%"')
        return share

    def _max_overlap(self) -> Decimal:
        share = _share(self._data.get("max_overlap", "50%"))
        if share is None:
            raise self._toml.error("max_overlap", None, 'max_overlap must be a share of the rows, such as "50%"')
        return share
