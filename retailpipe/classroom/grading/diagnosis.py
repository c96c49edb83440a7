"""Explain how a student's tables differ from those that the workbook gives.

The explanations name days, months, columns and typical mistakes, and how many rows are too many or too few. They never
contain a value that the student does not have.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from retailpipe.classroom.grading.digests import BRONZE, REJECTED, Day, Text, column_digest, split_by_day
from retailpipe.classroom.grading.evidence import Evidence, TableEvidence
from retailpipe.classroom.grading.expected import Expected
from retailpipe.classroom.grading.mistakes import BEYOND_BRONZE, IN_BRONZE, rounded
from retailpipe.counts import counted, noun

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOST_LINES = 6
_MOST_TIMES = 10
_LEAST_ROWS, _LEAST_ALIKE = 3, 5
"""Two days with so many rows and so many equal columns are of the same workbook: fewer can be equal by chance."""


def matches(evidence: Evidence, expected: Expected, table: str) -> bool:
    """Whether a table has exactly the rows that the workbook gives."""
    found = evidence.tables.get(table)
    return found is not None and not found.problem and found.digest == expected.digest(table).whole


def explain(
    evidence: Evidence, expected: Expected, table: str, owner: Callable[[Evidence], str | None]
) -> Sequence[str]:
    """Why a graded table does not match: one or more sentences.

    owner: finds the other student whose workbook is loaded; called only if the workbook is not this student's.
    """
    found = evidence.tables.get(table)
    if found is None or found.problem:
        return [_unreadable(table, found)]
    if missing := [name for name in expected.columns(table) if name not in found.columns]:
        return [f"{noun(len(missing), 'column')} {', '.join(missing)} {noun(len(missing), 'is', 'are')} missing"]
    if table == BRONZE:
        return _limited(_Bronze(evidence, expected).lines(owner))
    if table == REJECTED:
        return _limited(_rejects(evidence, expected))
    return _limited(_built_table(evidence, found, expected, table))


def _unreadable(table: str, found: TableEvidence | None) -> str:
    if found is None or found.problem == "does not exist":
        step = "load the workbook with `retailpipe run`" if table.startswith("bronze") else "run `retailpipe transform`"
        return f"{table} does not exist: {step}"
    return f"{table} cannot be graded: {found.problem}"


def _limited(lines: Sequence[str]) -> Sequence[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[: _MOST_LINES - 1], f"and {len(lines) - _MOST_LINES + 1} more differences"]


def alike_days(found: Mapping[str, Day], expected: Mapping[str, Day]) -> int:
    """How many days have as many rows and nearly the same values: 0 for another workbook."""
    return sum(
        day in found
        and found[day].rows == each.rows >= _LEAST_ROWS
        and sum(found[day].columns.get(name) == digest for name, digest in each.columns.items()) >= _LEAST_ALIKE
        for day, each in expected.items()
    )


@dataclass(frozen=True)
class _Difference:
    """How the rows of a day differ in number. times: how often each row is there, if it is so often; else 0."""

    day: str
    wanted: int
    found: int
    times: int


class _Bronze:
    """Compares the rows of bronze by day."""

    def __init__(self, evidence: Evidence, expected: Expected) -> None:
        self._found = evidence.days
        self._expected = expected.days
        self._values: Mapping[str, Mapping[str, Sequence[Text]]] = split_by_day(expected.columns(BRONZE))
        self._sources = [load.source for load in evidence.loads if load.table == BRONZE.partition(".")[2]]
        self._has_rows = evidence.tables[BRONZE].rows > 0
        self._evidence = evidence

    def lines(self, owner: Callable[[Evidence], str | None]) -> list[str]:
        if not self._has_rows:
            return ["bronze.raw_transactions is empty: load the workbook with `retailpipe run`"]
        differences = [self._difference(day) for day in sorted({*self._found, *self._expected})]
        repeated = [each for each in differences if each.times > 1]
        if not repeated and not alike_days(self._found, self._expected):
            if other := owner(self._evidence):
                return [f"this is the workbook of another student: {other}"]
            return ["this is the workbook of another seed: no day has the rows of this student's workbook"]
        if len(repeated) == len(differences):
            return [self._all_repeated(repeated[0].times)]
        lines = self._repeated(repeated)
        for month, days in _by_month(each for each in differences if each.times <= 1 and each.found != each.wanted):
            lines += self._month(month, days)
        same = [each.day for each in differences if each.found == each.wanted]
        lines += self._columns(same)
        return lines or ["the values of a row belong to different rows of the workbook"]

    def _difference(self, day: str) -> _Difference:
        wanted, found = (days[day].rows if day in days else 0 for days in (self._expected, self._found))
        times = found // wanted if wanted and found % wanted == 0 else 0
        if 1 < times <= _MOST_TIMES:
            columns = self._values[day].items()
            alike = sum(
                column_digest([*values] * times) == self._found[day].columns.get(name) for name, values in columns
            )
            times = times if alike >= _LEAST_ALIKE else 0
        return _Difference(day, wanted, found, times if times <= _MOST_TIMES else 0)

    def _all_repeated(self, times: int) -> str:
        often = "twice" if times == 2 else f"{times} times"
        text = f"each row is there {often}: the workbook was loaded {often}"
        if len(self._sources) > 1:
            last = self._sources[-1]
            text += f", as {' and '.join(self._sources[:4])}; undo one with `retailpipe forget {last}`"
        return text

    def _repeated(self, repeated: Sequence[_Difference]) -> list[str]:
        return [f"{month} has each row of {_days(days)} more than once" for month, days in _by_month(repeated)]

    def _month(self, month: str, days: Sequence[_Difference]) -> list[str]:
        if not month:
            return [f"{counted(sum(each.found for each in days), 'row')} without a possible date"]
        absent = [each for each in days if not each.found]
        fewer = [each for each in days if 0 < each.found < each.wanted]
        more = [each for each in days if each.found > each.wanted]
        lines: list[str] = []
        if lacking := sum(each.wanted - each.found for each in (*absent, *fewer)):
            whole = {each.day for each in absent} == {day for day in self._expected if day.startswith(month)}
            parts = [f"{_days(absent)} {noun(len(absent), 'was', 'were')} never loaded"] if absent else []
            parts += [f"{_days(fewer)} {noun(len(fewer), 'is', 'are')} incomplete"] if fewer else []
            reason = "the month was never loaded" if whole else ", and ".join(parts)
            rows = counted(lacking, "row")
            lines.append(f"{month} lacks {f'all its {rows}' if whole else rows}: {reason}")
        if too_many := sum(each.found - each.wanted for each in more):
            lines.append(f"{month} has {counted(too_many, 'row')} too many, on {_days(more)}")
        return lines

    def _columns(self, days: Sequence[str]) -> list[str]:
        """Which columns have other values, on days with the right number of rows."""
        wrong: defaultdict[str, list[str]] = defaultdict(list)
        for day in days:
            for name, digest in self._expected[day].columns.items():
                if self._found[day].columns.get(name) != digest:
                    wrong[name].append(day)
        return [f"column {name} {self._column(name, places)}" for name, places in wrong.items()]

    def _column(self, name: str, days: Sequence[str]) -> str:
        for mistake in IN_BRONZE:
            if name in mistake.columns and all(
                column_digest([mistake.change(value) for value in self._values[day][name]])
                == self._found[day].columns.get(name)
                for day in days
            ):
                return mistake.explanation
        return f"has other values than the workbook, on {counted(len(days), 'day')}"


def _by_month(differences: Iterable[_Difference]) -> list[tuple[str, list[_Difference]]]:
    months: defaultdict[str, list[_Difference]] = defaultdict(list)
    for each in differences:
        months[each.day[:7] if _DAY.fullmatch(each.day) else ""].append(each)
    return list(months.items())


def _days(differences: Sequence[_Difference]) -> str:
    """The days of a month, such as "the days 3 and 13 to 17"."""
    days = [int(each.day[8:]) for each in differences]
    ranges: list[list[int]] = []
    for day in days:
        if ranges and ranges[-1][1] == day - 1:
            ranges[-1][1] = day
        else:
            ranges.append([day, day])
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in ranges]
    return f"the {noun(len(days), 'day')} {', '.join(texts[:-1])}{' and ' if texts[1:] else ''}{texts[-1]}"


def _rejects(evidence: Evidence, expected: Expected) -> list[str]:
    found: Counter[tuple[str, str]] = Counter()
    for reject in evidence.rejects:
        found[reject.column, reject.code] += reject.rows
    wanted = expected.rejects
    if found and all(found[rule] == 2 * rows for rule, rows in wanted.items()) and found.total() == 2 * wanted.total():
        return ["each rejected row is there twice: the workbook was loaded twice"]
    lines: list[str] = []
    for rule in sorted({*found, *wanted}):
        column, code = rule
        if more := found[rule] - wanted[rule]:
            direction = "too many" if more > 0 else "missing"
            lines.append(
                f"{counted(abs(more), 'row')} {direction} that {noun(abs(more), 'is', 'are')} {code} in {column}"
            )
    return lines or ["the rejected rows have other values than the workbook"]


def _built_table(evidence: Evidence, found: TableEvidence, expected: Expected, table: str) -> list[str]:
    """Explain a table of silver or gold, whose bronze is right."""
    correct = expected.digest(table)
    wrong = [name for name, digest in correct.columns.items() if found.columns[name] != digest]
    lines = [] if evidence.is_built else ["not built from what is loaded now: run `retailpipe transform`"]
    # The first mistake that gives the whole table, else the first that gives most of the columns that are wrong. The
    # ranks depend only on the number of rows.
    telling = [name for name in wrong if name != "rank"]
    for in_columns in (False, True):
        for mistake in BEYOND_BRONZE:
            made = Expected(expected.exercise, mistake).digest(table)
            is_it = made.whole == found.digest
            if in_columns:
                alike = sum(made.columns[name] == found.columns[name] for name in telling)
                is_it = alike > 0 and 2 * alike >= len(telling)
            if made.whole != correct.whole and is_it:
                return [*lines, mistake.explanation]
    if not wrong:
        return [*lines, "the values of a row belong to different rows"]
    if found.rows != correct.rows:
        difference = found.rows - correct.rows
        lines.append(f"{counted(abs(difference), 'row')} too {'many' if difference > 0 else 'few'}")
    for name in wrong:
        values = expected.columns(table)[name]
        for digits in (2, 0):
            if found.columns[name] == column_digest([rounded(value, digits) for value in values]):
                lines.append(f"column {name} was rounded: sums of money are exact")
                break
        else:
            if found.rows == correct.rows:
                lines.append(f"column {name} has other values")
    return lines
