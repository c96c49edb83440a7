"""Draft a contract from a workbook, as the text of a TOML file with a comment on each doubt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import pyarrow.compute as pc

from retailpipe.contract import ALL_SHEETS, OWN_TABLES, SkipRule
from retailpipe.contract_columns import Separators
from retailpipe.counts import counted, noun
from retailpipe.drafting.layout import TAIL, Header, find_header, pattern_for, rules_for
from retailpipe.drafting.naming import one_line, unique_name
from retailpipe.drafting.profiles import ColumnProfile
from retailpipe.drafting.types import Choice, choose, common_separators, doubts, has_month_first, usual_decimal
from retailpipe.errors import SheetError, UsageError, WorkbookError
from retailpipe.reports import ContractDraft
from retailpipe.snapshots import check_uploadable
from retailpipe.toml_file import toml_value
from retailpipe.workbook.cells import Cell, column_letters
from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.decoding import UTF_8, UTF_16
from retailpipe.workbook.delimited import CsvSheet
from retailpipe.workbook.skipping import last_rows_held, matching
from retailpipe.workbook.tables import Book, Table, open_book

_FALLBACK_ENCODING = "cp1252"
_PLAIN = Separators()


@dataclass(frozen=True)
class _Content:
    """What the rows of some sheets with the same header hold.

    profiles: of each column, by the header in lower case.
    skipped: how many rows the rules skip.
    unnamed: the letters of columns that hold values, but have no header.
    tails: the last rows of each sheet, which are not in the profiles.
    """

    profiles: dict[str, ColumnProfile]
    skipped: int
    unnamed: tuple[str, ...]
    tails: list[tuple[Header, list[Mapping[int, Cell]]]]


def draft(path: Path, sheet: str | None, name: str | None) -> ContractDraft:
    """The implementation of `draft_contract`."""
    check_uploadable(path)
    book, encoding = _opened(path)
    try:
        headers, others = _headers(book, sheet)
        if not headers[0].texts:
            raise SheetError(f"{path.name}: {_repeated(headers[0])}", hint="Give each its own header.")
        rules = _rules(headers)
        content = _content(headers, rules, with_tails=False)
        if not any(profile.cells for profile in content.profiles.values()):
            raise SheetError(f"{path.name}: no sheet has rows below a header", hint="Choose a workbook with rows.")
        contract_name = unique_name(name or path.stem, OWN_TABLES, "rows")
        lines = _contract_lines(contract_name, book, headers, others, encoding, sheet)
        lines += _content_lines(headers, content, rules)
        return ContractDraft(
            contract_name, path.name, tuple(each.table.name for each in headers), "\n".join(lines) + "\n"
        )
    finally:
        book.close()


def _opened(path: Path) -> tuple[Book, str | None]:
    """Open a workbook; a CSV file that is not UTF-8 with another encoding, which is returned too."""
    try:
        book = open_book(path, path.name)
        for table in book.tables:
            if isinstance(table, CsvSheet):
                table.check_encoding()
    except WorkbookError:
        if not path.name.lower().endswith(".csv"):
            raise
        with path.open("rb") as file:
            if file.read(2) in UTF_16:
                return open_book(path, path.name, encoding="utf-16"), "utf-16"
        if _is_not_text(path):
            raise
        return open_book(path, path.name, encoding=_FALLBACK_ENCODING), _FALLBACK_ENCODING
    return book, None


def _is_not_text(path: Path) -> bool:
    """Whether a file is empty, is a zip, or contains NUL near its start: then another encoding does not help."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
    return not start or b"\0" in start or start.startswith(b"PK\x03\x04")


def _headers(book: Book, sheet: str | None) -> tuple[list[Header], list[str]]:
    """The headers of the sheets to draft for, which are all the same; and the names of the other visible sheets."""
    wanted = [table for table in book.tables if table.visible] if sheet is None else _named(book, sheet)
    found = [header for table in wanted if (header := find_header(table))]
    if not found:
        raise SheetError(f"{book.file}: no sheet has rows", hint="Choose a workbook with rows in its sheets.")
    groups: dict[tuple[int, frozenset[str]], list[Header]] = {}
    for header in found:
        groups.setdefault(header.key, []).append(header)
    largest = max(groups.values(), key=lambda group: (bool(group[0].texts), len(group), len(group[0].texts)))
    others = [header.table.name for header in found if header not in largest]
    return largest, others


def _named(book: Book, sheet: str) -> Sequence[Table]:
    tables = [table for table in book.tables if table.name.casefold() == sheet.strip().casefold()]
    if not tables:
        names = ", ".join(repr(table.name) for table in book.tables[:20])
        raise UsageError(
            f"{book.file} has no sheet {sheet!r}; its sheets are {names}", hint="Pass one of these names with --sheet."
        )
    return tables


def _rules(headers: Sequence[Header]) -> list[SkipRule]:
    content = _content(headers, [], with_tails=True)
    rules: list[SkipRule] = []
    for header, tail in content.tails:
        profiles = {index: content.profiles[text.casefold()] for index, text in header.texts.items()}
        rules += rules_for(tail, header, profiles)
    return list(dict.fromkeys(rules))


def _content(headers: Sequence[Header], rules: Sequence[SkipRule], *, with_tails: bool) -> _Content:
    """Read the rows below the headers. with_tails: leave the last rows of each sheet out of the profiles."""
    profiles = {text.casefold(): ColumnProfile(text) for text in headers[0].texts.values()}
    tails: list[tuple[Header, list[Mapping[int, Cell]]]] = []
    unnamed: dict[int, None] = {}
    skipped = 0
    for header in headers:
        named = {text.casefold(): index for index, text in header.texts.items()}
        sheet = header.table.name if len(headers) > 1 else ""

        def ended(last: Sequence[Chunk], header: Header = header) -> None:
            rows = [(chunk.numbers[place], chunk.row(place)) for chunk in last for place in range(len(chunk.numbers))]
            tails.append((header, [row for _, row in sorted(rows, key=lambda item: item[0])]))

        chunks = _below(header)
        for chunk in last_rows_held(chunks, TAIL, ended) if with_tails else chunks:
            kept, count = _kept(chunk, [(named[rule.column.casefold()], rule.matches) for rule in rules])
            skipped += count
            if not kept:
                continue
            for key, index in named.items():
                column = kept.column(index)
                profiles[key].add(column, kept.numbers, index, sheet, booleans=kept.booleans)
            for index, column in zip(kept.indices, kept.columns, strict=True):
                if index not in header.texts and index not in header.repeated and index not in unnamed and any(column):
                    unnamed[index] = None
    return _Content(profiles, skipped, tuple(map(column_letters, unnamed)), tails)


def _below(header: Header) -> Iterator[Chunk]:
    """Yield the rows below a header. Once the header is passed, they may come in any order, which is faster."""
    rows = header.table.rows(header.row)
    try:
        for chunk in rows:
            if min(chunk.numbers) > header.row:
                rows.in_order = False
                yield chunk
            elif below := [place for place, number in enumerate(chunk.numbers) if number > header.row]:
                yield chunk.select(below)
    finally:
        rows.close()


def _kept(chunk: Chunk, rules: Sequence[tuple[int, str]]) -> tuple[Chunk | None, int]:
    """Return the rows that no rule matches, and how many rows match."""
    if not rules:
        return chunk, 0
    mask = reduce(pc.or_, [matching(chunk.column(index), pattern) for index, pattern in rules])
    if not mask.true_count:
        return chunk, 0
    kept = pc.indices_nonzero(pc.invert(mask)).to_pylist()
    return (chunk.select(kept) if kept else None), mask.true_count


def _contract_lines(
    name: str, book: Book, headers: Sequence[Header], others: Sequence[str], encoding: str | None, sheet: str | None
) -> list[str]:
    """The lines of the contract that say where the rows are."""
    lines = [
        f"# Drafted from {one_line(book.file)}. Check every type and rule; docs/contract.md describes the keys.",
        "",
        f"name = {toml_value(name)}",
        f"table = {toml_value(name)}",
        f"files = {toml_value(_file_pattern(book.file))}",
    ]
    names = [header.table.name for header in headers]
    visible = [table.name for table in book.tables if table.visible]
    if others:
        lines.append(f"# other sheets have another header: {', '.join(one_line(name) for name in others[:20])}")
    if len(headers) > 1:
        pattern = ALL_SHEETS if not others else pattern_for(names, others)
        listed = f"[{', '.join(map(toml_value, names))}]"  # no pattern matches only these sheets
        lines.append(f"sheet = {toml_value(pattern) if pattern else listed}")
    elif (others or sheet is not None or len(visible) > 1) and names[0]:
        lines.append(f"sheet = {toml_value(names[0])}")
    if headers[0].is_doubtful:
        lines.append(f"# doubt: row {headers[0].row} was taken as the header, although not all of its cells are texts")
    if not headers[0].is_first:
        lines.append(f"header_row = {headers[0].row}")
    table = book.tables[0]
    if isinstance(table, CsvSheet):
        lines.append(f"delimiter = {toml_value(table.delimiter)}")
        if encoding:
            usual = "" if encoding != _FALLBACK_ENCODING else "; this is the usual encoding of Windows"
            lines += [f"# the file is not {UTF_8.upper()}{usual}"]
            lines += [f"encoding = {toml_value(encoding)}"]
    return lines


def _file_pattern(file: str) -> str:
    """The pattern for the names of workbooks like this one: each number in the name, such as a month, may differ."""
    stem, dot, suffix = file.rpartition(".")
    return re.sub(r"\d+", "*", stem) + dot + suffix


def _content_lines(headers: Sequence[Header], content: _Content, rules: Sequence[SkipRule]) -> list[str]:
    lines: list[str] = []
    profiles = list(content.profiles.values())
    if rules:
        lines += [f"# these rules skip {counted(content.skipped, 'row')}, such as totals", "skip_rows = ["]
        lines += [
            f"    {{ column = {toml_value(rule.column)}, matches = {toml_value(rule.matches)} }}," for rule in rules
        ]
        lines += ["]"]
    table = headers[0].table
    usual = usual_decimal(profiles, table.delimiter if isinstance(table, CsvSheet) else "")
    ways = common_separators(profiles, usual)
    lines += [f"# {one_line(doubt)}" for doubt in doubts(ways, profiles)]
    common = ways[0] if ways else None
    if common and common != _PLAIN:
        lines += _separator_lines(common)
    if content.unnamed:
        lines.append(f"# columns without a header are not read: {', '.join(content.unnamed[:20])}")
    if headers[0].repeated:
        lines.append(f"# not read, because {_repeated(headers[0])}: give each its own header")
    taken: set[str] = set()
    day_first = not has_month_first(profiles)
    for index, text in headers[0].texts.items():
        profile = content.profiles[text.casefold()]
        lines += _column_lines(profile, choose(profile, common, usual, day_first), taken, column_letters(index).lower())
    return lines


def _repeated(header: Header) -> str:
    """Say which columns of a header occur more than once, and how often."""
    names: dict[str, str] = {}
    for text in header.repeated.values():
        names.setdefault(text.casefold(), text)
    times = "twice" if len(header.repeated) == 2 * len(names) else "several times"
    columns = ", ".join(one_line(name) for name in names.values())
    return f"{noun(len(names), 'column')} {columns} {noun(len(names), 'occurs', 'occur')} {times}"


def _column_lines(profile: ColumnProfile, choice: Choice, taken: set[str], letters: str) -> list[str]:
    name = unique_name(profile.header, taken, f"column_{letters}")
    taken.add(name)
    comments = list(choice.comments)
    if profile.kinds["error"]:
        count, first = profile.kinds["error"], profile.firsts["error"]
        shown = counted(count, "cell shows", "cells show")
        rejected = noun(count, "its row is rejected", "their rows are rejected")
        comments.append(f"{shown} an error such as #N/A, first in {first}: {rejected}")
    if profile.blanks and profile.filled:
        comments.append(
            f"{profile.blanks:,} of {counted(profile.cells, 'cell')} {noun(profile.blanks, 'is', 'are')} blank"
        )
    lines = ["", "[[columns]]", *(f"# {one_line(comment)}" for comment in comments)]
    lines += [
        f"header = {toml_value(profile.header)}",
        f"name = {toml_value(name)}",
        f"type = {toml_value(choice.type)}",
    ]
    if not profile.blanks and profile.filled:
        lines.append("required = true")
    if choice.formats:
        lines.append(f"formats = [{', '.join(map(toml_value, choice.formats))}]")
    if choice.separators:
        lines += _separator_lines(choice.separators)
    return lines


def _separator_lines(separators: Separators) -> list[str]:
    lines = [f"decimal = {toml_value(separators.decimal)}"]
    return lines + ([f"thousands = {toml_value(separators.thousands)}"] if separators.thousands else [])
