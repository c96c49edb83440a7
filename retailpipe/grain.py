"""The grain of a table: which rows a row of it was made from, and how each of its columns follows from them.

It is declared in the yml of the table's model under `config: meta: trace:`. Every value is a text of SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from retailpipe.errors import TransformError

OUR_ROWS = "stg_transactions"
"""The model whose rows are traced if a yml does not say it."""
KINDS = ("sum", "count", "count_distinct", "min", "max", "any", "pick", "digest")
"""How a column follows from the traced rows; each is a key of its declaration."""
_KEYS = {"rows", "where", "grain", "groups", "row_columns", "columns", "written_in"}
_DOCS = "docs/trace.md describes the keys of trace."
# Texts, types and names of functions are passed over.
_WORDS = re.compile(r"""'(?:[^']|'')*'|::\s*\w+|"([^"]+)"|\b[a-z_]\w*\s*\(|([a-z_]\w*)""", re.IGNORECASE)


@dataclass(frozen=True)
class Measure:
    """A column that is an aggregate of the traced rows.

    kind: one of KINDS.
    expression: SQL on one row. where: the condition of the rows that count; empty for all.
    order: for `pick`, by what the rows are ordered, of which the first is picked.
    """

    kind: str
    expression: str
    where: str = ""
    order: str = ""

    @property
    def sql(self) -> str:
        """The aggregate."""
        counted = f" filter (where {self.where})" if self.where else ""
        value = f"({self.expression})"
        match self.kind:
            case "sum":
                return f"sum({value}::numeric){counted}"
            case "count":
                return f"count({self.expression}){counted}"
            case "count_distinct":
                return f"count(distinct {value}){counted}"
            case "any":
                return f"coalesce(bool_or({value}){counted}, false)"
            case "pick":
                order = f" order by {self.order}" if self.order else ""
                return f"(array_agg({value}{order}){counted})[1]"
            case "digest":
                return f"md5(array_to_string(array_agg(distinct {value} order by {value}){counted}, ','))"
            case _:
                return f"{self.kind}({value}){counted}"

    @property
    def counts(self) -> str:
        """The condition of the rows that make the figure."""
        conditions = [f"({self.where})"] if self.where else []
        if self.kind == "any":
            conditions.append(f"({self.expression})")
        elif self.expression != "*" and self.kind != "pick":
            conditions.append(f"({self.expression}) is not null")
        return " and ".join(conditions) or "true"


@dataclass(frozen=True)
class LookedUp:
    """A column that is taken from another table, from its row with the same value in the column `by`."""

    table: str
    by: str


@dataclass(frozen=True)
class Grain:
    """How the rows of a table are traced.

    model, schema, relation: the model, and its table or view.
    file: the yml file that declares it, for messages.
    rows: what is traced: `bronze.TABLE`, or a model. where: the condition of the rows that the table was made from.
    keys: the columns that tell the rows of the table apart, each with the same value as SQL on one traced row.
    groups: by what traced rows can be grouped, as SQL on one of them.
    row_columns: columns that are added to the traced rows; they may be window functions.
    measures: the columns that are aggregates of the traced rows.
    computed: the columns that are computed from other columns of the table; they may be window functions.
    looked_up: the columns that are taken from other tables.
    written_in: the file in which the rows are written; empty if they are traced.
    """

    model: str
    schema: str
    relation: str
    file: str
    rows: str
    where: str
    keys: dict[str, str]
    groups: dict[str, str]
    row_columns: dict[str, str]
    measures: dict[str, Measure]
    computed: dict[str, str]
    looked_up: dict[str, LookedUp]
    written_in: str

    @property
    def table(self) -> str:
        """The table, quoted for SQL."""
        return f"{quoted(self.schema)}.{quoted(self.relation)}"

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.relation}"

    def parts(self, column: str) -> list[str]:
        """The measures that a column follows from: itself, or those that its expression names, also through others."""
        found: dict[str, None] = {}
        waiting, seen = [column], {column}
        while waiting:
            name = waiting.pop(0)
            if name in self.measures:
                found[name] = None
            others = [each for each in words(self.computed.get(name, "")) if each not in seen]
            seen.update(others)
            waiting += others
        return list(found)

    def of(self, expression: str) -> list[str]:
        """The columns of the traced rows that an expression names, also through `row_columns`."""
        found: dict[str, None] = {}
        waiting, seen = words(expression), set[str]()
        while waiting:
            word = waiting.pop(0)
            if word in self.row_columns and word not in seen:
                waiting += words(self.row_columns[word])
            else:
                found[word] = None
            seen.add(word)
        return list(found)


def quoted(name: str) -> str:
    """A name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def words(expression: str) -> list[str]:
    """The names in an expression of SQL, mostly of columns; without texts, types and functions."""
    found = (match[1] or (match[2] or "").lower() for match in _WORDS.finditer(expression))
    return list(dict.fromkeys(name for name in found if name))


def grain_of(declared: object, model: str, schema: str, relation: str, file: str, default_rows: str) -> Grain:
    """The grain that `trace` in the yml of a model declares.

    default_rows: what is traced if the yml does not say it.
    Raises TransformError if the declaration is malformed; it names the file, the model and the key.
    """
    return _Reader(model, file).grain(declared, schema, relation, default_rows)


class _Reader:
    def __init__(self, model: str, file: str) -> None:
        self._model = model
        self._file = file

    def grain(self, declared: object, schema: str, relation: str, default_rows: str) -> Grain:
        trace = self._mapping(declared, "trace")
        if unknown := sorted(set(trace) - _KEYS):
            self._fail(f"trace has an unknown key {unknown[0]!r}; the keys are {', '.join(sorted(_KEYS))}")
        written_in = self._text(trace.get("written_in", ""), "written_in")
        columns = self._mapping(trace.get("columns", {}), "columns")
        keys = self._texts(trace, "grain")
        if not written_in and not keys:
            self._fail("trace needs grain: the columns that tell the rows of the table apart")
        measures: dict[str, Measure] = {}
        computed: dict[str, str] = {}
        looked_up: dict[str, LookedUp] = {}
        for column, value in columns.items():
            how = self._texts({column: value}, column)
            if set(how) == {"computed"}:
                computed[column] = how["computed"]
            elif set(how) == {"from", "by"}:
                looked_up[column] = LookedUp(how["from"], how["by"])
            else:
                measures[column] = self._measure(column, how)
        return Grain(
            self._model,
            schema,
            relation,
            self._file,
            self._text(trace.get("rows", default_rows), "rows"),
            self._text(trace.get("where", ""), "where"),
            keys,
            self._texts(trace, "groups"),
            self._texts(trace, "row_columns"),
            measures,
            computed,
            looked_up,
            written_in,
        )

    def _measure(self, column: str, how: dict[str, str]) -> Measure:
        kinds = [kind for kind in KINDS if kind in how]
        kind = kinds[0] if len(kinds) == 1 else ""
        if not kind or set(how) - {kind, "where", *(["order"] if kind == "pick" else [])}:
            forms = f"one of {', '.join(KINDS)} with where, or computed, or from and by"
            self._fail(f"column {column} of trace must have {forms}; it has {', '.join(how) or 'nothing'}")
        return Measure(kind, how[kind], how.get("where", ""), how.get("order", ""))

    def _texts(self, table: Mapping[str, Any], key: str) -> dict[str, str]:
        values = self._mapping(table.get(key, {}), key)
        return {name: self._text(value, f"{name} in {key}") for name, value in values.items()}

    def _mapping(self, value: object, key: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._fail(f"{key} must be a mapping; it is {value!r}")
        return {str(name): each for name, each in cast("dict[object, Any]", value).items()}

    def _text(self, value: object, key: str) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            self._fail(f"{key} must be a text; it is {value!r}")
        text = str(value).strip()
        # A number after $ stands for a value in our statements.
        if re.search(r"\$\d|\0", text):
            self._fail(f"{key} must not contain $ before a digit, or a NUL character; it is {text!r}")
        return text

    def _fail(self, reason: str) -> NoReturn:
        raise TransformError(f"{self._file}: model {self._model}: {reason}", hint=_DOCS)
