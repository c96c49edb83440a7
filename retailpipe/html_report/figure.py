"""What a figure of the report is: a chart with its words and the tables behind it."""

from __future__ import annotations

from dataclasses import dataclass

from retailpipe.html_report.drawings import Drawing
from retailpipe.html_report.tables import Table


@dataclass(frozen=True)
class Figure:
    """A chart with its title, its sentence and the tables behind it.

    key: names its elements in the page. legend: the colours of the chart and what they mean.
    source: the table that the figures are from. is_wide: whether the chart needs the width of the page.
    """

    key: str
    title: str
    sentence: str
    drawing: Drawing
    tables: tuple[Table, ...]
    source: str
    legend: tuple[tuple[str, str], ...] = ()
    is_wide: bool = False
