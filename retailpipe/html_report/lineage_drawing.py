"""Lay out the drawing of the lineage: boxes in rows, from the workbooks down to gold and the user's models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retailpipe.html_report.facts import LineageNode
from retailpipe.html_report.wording import cleaned
from retailpipe.keys import INPUT

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
    boxes: dict[tuple[str, str], Box] = {}
    for number, row in enumerate(rows):
        left = (width - len(row) * (_BOX + _GAP) + _GAP) // 2
        for place, node in enumerate(row):
            boxes[node.key] = Box(_short(node), node.layer, left + place * (_BOX + _GAP), _MARGIN + number * _ROW)
    paths = [
        _path(boxes[parent], boxes[node.key])
        for node in nodes
        for parent in node.parents
        if parent in boxes and boxes[parent].y < boxes[node.key].y
    ]
    height = (len(rows) - 1) * _ROW + _HEIGHT + 2 * _MARGIN
    return LineageDrawing(width, height, tuple(boxes.values()), tuple(paths))


def _rows(nodes: Sequence[LineageNode]) -> list[list[LineageNode]]:
    """The nodes in rows: layer by layer, and in a layer by how many steps they are from its top."""
    by_key = {node.key: node for node in nodes}
    depths: dict[tuple[str, str], int] = {}

    def depth(node: LineageNode, above: frozenset[tuple[str, str]] = frozenset()) -> int:
        if node.key in depths:
            return depths[node.key]
        parents = [by_key[key] for key in node.parents if key in by_key and key not in above]
        same = [depth(parent, above | {node.key}) for parent in parents if parent.layer == node.layer]
        return depths.setdefault(node.key, max(same, default=-1) + 1)

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


def _short(node: LineageNode) -> str:
    """The name as far as there is space: of a workbook the end, which is the name of the file."""
    text = cleaned(node.name)
    if node.layer == "workbook":
        text = text.removeprefix(INPUT)
        return text if len(text) <= _LONGEST_NAME else f"\N{HORIZONTAL ELLIPSIS}{text[1 - _LONGEST_NAME :]}"
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
