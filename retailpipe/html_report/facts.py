"""What the report shows, as frozen dataclasses: the facts, without a word of how they are shown.

Money and shares are exact decimals. Texts are as in the warehouse, except that long ones are cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from retailpipe.html_report.sales_facts import Sales


@dataclass(frozen=True)
class Problem:
    """Something that is not right. command: the arguments of the command that shows or corrects it; may be empty.

    is_failure: whether figures may be wrong; otherwise something is only not up to date.
    """

    what: str
    detail: str
    command: str = ""
    is_failure: bool = True


@dataclass(frozen=True)
class Check:
    """Two figures that must be equal, as exact decimal text.

    layer: which layer is checked: bronze against the ledger, gold for silver and gold, own for a model of the user.
    """

    name: str
    ok: bool
    expected: str
    actual: str
    layer: str = "gold"


@dataclass(frozen=True)
class Load:
    """A row of the ledger. Times are in UTC."""

    load_id: int
    source: str
    status: str
    contract: str
    table_name: str
    content_hash: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    first_date: datetime | None
    last_date: datetime | None
    started_at: datetime
    finished_at: datetime
    rows_corrected: int = 0

    @property
    def seconds(self) -> Decimal:
        """How long the load took."""
        return Decimal(round((self.finished_at - self.started_at).total_seconds() * 1000)) / 1000


@dataclass(frozen=True)
class Ledger:
    """The loads.

    current: the loads whose rows are in bronze, newest first; the first ones.
    history: all loads, newest first; the first ones.
    """

    sources: int
    loads: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    current: tuple[Load, ...]
    history: tuple[Load, ...]
    rows_corrected: int = 0


@dataclass(frozen=True)
class Build:
    """The last complete build. loads: how many loads it was made from. finished_at: in UTC."""

    finished_at: datetime
    loads: int


@dataclass(frozen=True)
class Rule:
    """The rejected rows of current loads that break the same rule in the same column."""

    code: str
    column_name: str
    rows: int


@dataclass(frozen=True)
class RejectedCell:
    """The cell because of which a row was rejected."""

    source: str
    sheet: str
    cell: str
    column_name: str
    raw_value: str
    message: str


@dataclass(frozen=True)
class Rejects:
    """What was refused: the rules that were broken most often, and the first cells.

    broken: how many rules were broken, counted for each column.
    """

    rows: int
    rules: tuple[Rule, ...] = ()
    cells: tuple[RejectedCell, ...] = ()
    broken: int = 0


@dataclass(frozen=True)
class OwnColumn:
    """A column of a model of the user. kind: how its values are shown."""

    name: str
    kind: str  # "number", "date" or "text"


@dataclass(frozen=True)
class Series:
    """The points of a chart that the yml of a model asks for.

    kind: bar or line. x_kind: as in OwnColumn. points: the first ones. total: how many rows can be drawn.
    """

    kind: str
    x: str
    y: str
    x_kind: str
    points: tuple[tuple[str, Decimal], ...]
    total: int


@dataclass(frozen=True)
class OwnTable:
    """A model of the user: some of its rows, each value as text; None is null.

    relation: its table or view, with its schema.
    problem: why the rows or the chart are not shown; empty if all is well.
    """

    name: str
    relation: str
    description: str = ""
    columns: tuple[OwnColumn, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    total: int = 0
    series: Series | None = None
    problem: str = ""


@dataclass(frozen=True)
class LineageNode:
    """A workbook, table or model, and the keys of the nodes it is made from.

    layer: workbook, bronze, silver, gold or own. Two nodes may have the same name in different layers.
    """

    name: str
    layer: str
    parents: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """The layer and the name, which no other node has together."""
        return self.layer, self.name


@dataclass(frozen=True)
class Facts:
    """Everything that the report shows.

    address: the environment's store. made_at: in UTC.
    sales: None without silver and gold, or if they are empty.
    sales_absent: why there are no sales.
    own_tables: of the user's models; the first ones. own_models: how many there are.
    certificate: a sentence about the certificate of this state; empty if there is none.
    """

    address: str
    made_at: datetime
    problems: tuple[Problem, ...]
    checks: tuple[Check, ...]
    ledger: Ledger
    build: Build | None
    rejects: Rejects
    sales: Sales | None
    sales_absent: str
    own_tables: tuple[OwnTable, ...]
    lineage: tuple[LineageNode, ...]
    versions: tuple[tuple[str, str], ...]
    own_models: int = 0
    options: tuple[str, ...] = field(default=())
    certificate: str = ""

    @property
    def failures(self) -> tuple[Problem, ...]:
        """The problems because of which figures may be wrong."""
        return tuple(problem for problem in self.problems if problem.is_failure)

    @property
    def is_empty(self) -> bool:
        """Whether no workbook is loaded."""
        return not self.ledger.sources
