"""Lay out the drawing of the lineage: boxes in rows, from the workbooks down to gold and the user's models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retailpipe.html_report.facts import LineageNode
from retailpipe.html_report.wording import cleaned

_BOX, _HEIGHT, _GAP, _ROW = 168, 30, 14, 66
_MARGIN = 2
_LAYERS = ("workbook", "bronze", "silver", "gold", "own")
_LONGEST_NAME = 25
_BOXES_IN_A_ROW = 5


@dataclass(frozen=True)
class Box:
    """A box with a name. x, y: its upper left corner, in pixels."""

    name: str
    layer: str
    x: int
    y: int

    @property
    def middle(self) -> int:
        """The x of its middle."""
        return self.x + _BOX // 2

    @property
    def bottom(self) -> int:
        """The y of its lower edge."""
        return self.y + _HEIGHT


@dataclass(frozen=True)
class LineageDrawing:
    """Boxes, and the lines between them as SVG paths. Sizes are in pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]
    box_width: int = _BOX
    box_height: int = _HEIGHT


def drawing(nodes: Sequence[LineageNode]) -> LineageDrawing | None:
    """Lay out the nodes; None if there are none. A node is below all nodes that it is made from."""
    if not nodes:
        return None
    rows = _rows(nodes)
    widest = max(len(row) for row in rows)
    width = widest * (_BOX + _GAP) - _GAP + 2 * _MARGIN
    boxes: dict[str, Box] = {}
    for number, row in enumerate(rows):
        left = (width - len(row) * (_BOX + _GAP) + _GAP) // 2
        for place, node in enumerate(row):
            boxes[node.name] = Box(_short(node.name), node.layer, left + place * (_BOX + _GAP), _MARGIN + number * _ROW)
    paths = [
        _path(boxes[parent], boxes[node.name])
        for node in nodes
        for parent in node.parents
        if parent in boxes and boxes[parent].y < boxes[node.name].y
    ]
    height = (len(rows) - 1) * _ROW + _HEIGHT + 2 * _MARGIN
    return LineageDrawing(width, height, tuple(boxes.values()), tuple(paths))


def _rows(nodes: Sequence[LineageNode]) -> list[list[LineageNode]]:
    """The nodes in rows: layer by layer, and in a layer by how many steps they are from its top."""
    by_name = {node.name: node for node in nodes}
    depths: dict[str, int] = {}

    def depth(node: LineageNode, above: frozenset[str] = frozenset()) -> int:
        if node.name in depths:
            return depths[node.name]
        parents = [by_name[name] for name in node.parents if name in by_name and name not in above]
        same = [depth(parent, above | {node.name}) for parent in parents if parent.layer == node.layer]
        return depths.setdefault(node.name, max(same, default=-1) + 1)

    rows: list[list[LineageNode]] = []
    for layer in _LAYERS:
        members = [node for node in nodes if node.layer == layer]
        for level in sorted({depth(node) for node in members}):
            row = [node for node in members if depth(node) == level]
            rows += [row[start : start + _BOXES_IN_A_ROW] for start in range(0, len(row), _BOXES_IN_A_ROW)]
    return rows


def _path(parent: Box, child: Box) -> str:
    middle = (parent.bottom + child.y) // 2
    return f"M{parent.middle},{parent.bottom}C{parent.middle},{middle} {child.middle},{middle} {child.middle},{child.y}"


def _short(name: str) -> str:
    text = cleaned(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
