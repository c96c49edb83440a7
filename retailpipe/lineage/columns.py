"""From which columns of bronze each column of silver and gold follows, by the grains that their yml files declare."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from retailpipe.grain import Grain, words

_BRONZE = "bronze."
_SUBTYPES = ("IDENTITY", "TRANSFORMATION", "AGGREGATION")
"""How a value follows from another one. Of two steps, the later one in this list counts."""
_ROW = {"load_id", "source_row"}
"""The key of a row of bronze: a table with this key has one row for each of them."""


@dataclass(frozen=True)
class Transformation:
    """How a column follows from another one, in the words of the standard.

    DIRECT with one of _SUBTYPES if it gives the value, INDIRECT if it only decides which rows count.
    """

    type: str
    subtype: str


Origins = dict[tuple[str, str], set[Transformation]]
"""Columns of bronze, as (bronze.TABLE, column), and how a column follows from each."""


class Columns:
    """The origins of the columns of models.

    grains: by the names of their models. known: the columns of the tables of bronze, by bronze.TABLE. An expression
    of SQL also contains words that are no columns: only those in `known`, or of a grain, count.
    """

    def __init__(self, grains: Mapping[str, Grain], known: Mapping[str, Collection[str]]) -> None:
        self._grains = grains
        self._known = known
        self._found: dict[tuple[str, str], Origins] = {}

    def of(self, model: str, column: str) -> Origins:
        """The origins of a column of a model; empty if they are not declared.

        They are sought once: columns that follow from two others each have very many paths. Meanwhile they count as
        empty, so that a declaration that follows from itself ends.
        """
        if (model, column) not in self._found:
            self._found[model, column] = {}
            self._found[model, column] = self._sought(model, column)
        return self._found[model, column]

    def of_rows(self, model: str) -> Origins:
        """The columns of bronze that decide which rows of bronze a row of a model is made from."""
        grain = self._grains.get(model)
        if grain is None or grain.written_in:
            return {}
        found = _indirect(self._expression(grain, grain.where), "FILTER")
        if not _is_row_by_row(grain):
            for expression in grain.keys.values():
                _add(found, _indirect(self._expression(grain, expression), "GROUP_BY"))
        return found

    def _sought(self, model: str, column: str) -> Origins:
        grain = self._grains.get(model)
        found: Origins = {}
        if grain is None:
            return found
        if column in grain.keys:
            found = self._expression(grain, grain.keys[column])
        elif measure := grain.measures.get(column):
            one_row = _is_row_by_row(grain) or (measure.kind == "pick" and not measure.order)
            found = self._expression(grain, measure.expression, "IDENTITY" if one_row else "AGGREGATION")
            _add(found, _indirect(self._expression(grain, measure.where), "FILTER"))
            _add(found, _indirect(self._expression(grain, measure.order), "SORT"))
        elif column in grain.computed:
            for word in words(grain.computed[column]):
                _add(found, _at_least("TRANSFORMATION", self.of(model, word)))
        elif taken := grain.looked_up.get(column):
            _add(found, self.of(taken.table, column))
            _add(found, _indirect(self.of(model, taken.by), "JOIN"))
        return found

    def _expression(self, grain: Grain, sql: str, subtype: str = "IDENTITY") -> Origins:
        """The origins of an expression on one of the rows that a grain traces. subtype: what it is at least."""
        found: Origins = {}
        columns = grain.of(sql)
        if columns != [sql.strip()] and subtype == "IDENTITY":
            subtype = "TRANSFORMATION"
        for column in columns:
            if not grain.rows.startswith(_BRONZE):
                _add(found, _at_least(subtype, self.of(grain.rows, column)))
            elif column in self._known.get(grain.rows, ()):
                _add(found, {(grain.rows, column): {Transformation("DIRECT", subtype)}})
        return found


def _is_row_by_row(grain: Grain) -> bool:
    return set(grain.keys.values()) >= _ROW


def _at_least(subtype: str, origins: Origins) -> Origins:
    """Origins after one more step of a kind."""

    def after(each: Transformation) -> Transformation:
        if each.type == "INDIRECT":
            return each
        return Transformation("DIRECT", max(each.subtype, subtype, key=_SUBTYPES.index))

    return {column: {after(each) for each in transformations} for column, transformations in origins.items()}


def _indirect(origins: Origins, subtype: str) -> Origins:
    return {column: {Transformation("INDIRECT", subtype)} for column in origins}


def _add(origins: Origins, more: Origins) -> None:
    for column, transformations in more.items():
        origins.setdefault(column, set()).update(transformations)
