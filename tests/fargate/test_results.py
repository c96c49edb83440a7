"""What a run writes is what `ingest` returns and raises."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from retailpipe import LoadReport, Overlap, SomeNotLoaded, WarehouseError, WorkbookError, WorkersError
from retailpipe.fargate import results
from retailpipe.fargate.forecast import forecast
from retailpipe.prices import Prices
from retailpipe.reports import Reject, Replaced
from retailpipe.store import Stored

NOW = datetime(2027, 3, 1, 12, 30, tzinfo=UTC)
REJECT = Reject("Sheet", 2, "B2", "quantity", "x", "not_a_number", "is not a number", "correct it", {"a": "1"})
REPORT = LoadReport(
    "input/a.xlsx", "replaced", "hash", 3, "Sheet", 10, 9, 1, NOW, NOW, (REJECT,), ("Notes",), 1.5,
    Replaced(2, 8, NOW), 4, (Overlap("input/b.xlsx", 4, NOW, None),), 2,
)  # fmt: skip


def through_json(document: dict[str, object]) -> dict[str, object]:
    return json.loads(json.dumps(document))


def test_reports_come_back_as_they_were() -> None:
    assert results.reports_of(through_json(results.of_reports([REPORT]))) == [REPORT]


def test_failures_come_back_as_they_were() -> None:
    failed = SomeNotLoaded([REPORT], [WorkbookError("b is damaged", hint="Save it again.")], untried=1)

    with pytest.raises(SomeNotLoaded) as caught:
        results.reports_of(through_json(results.of_error(failed)))

    assert (str(caught.value), caught.value.hint) == (str(failed), failed.hint)
    assert caught.value.reports == (REPORT,)
    assert isinstance(caught.value.failures[0], WorkbookError)


@pytest.mark.parametrize("error", [WorkersError("the run ended"), WarehouseError("down")])
def test_an_error_of_the_run_is_an_outage(error: WorkersError | WarehouseError) -> None:
    result = through_json(results.of_error(error))

    with pytest.raises((WorkersError, SomeNotLoaded)) as caught:
        results.reports_of(result)

    assert not isinstance(caught.value, SomeNotLoaded) or caught.value.is_outage
    with pytest.raises(type(error), match=str(error)):
        results.reports_of(result, one=True)


def test_an_unknown_error_is_not_made_into_another_class() -> None:
    result = results.of_error(WorkersError("x"))
    result["error"]["type"] = "os"

    with pytest.raises(SomeNotLoaded, match="x"):
        results.reports_of(result)


def test_more_workers_take_less_time_until_one_workbook_is_the_longest() -> None:
    stored = [Stored(f"input/{n}.xlsx", 24_000_000, NOW) for n in range(64)]
    one, many, most = (forecast(stored, workers) for workers in (1, 16, 64))

    assert one.rows == 64 * round(24_000_000 / 44)
    assert one.seconds > many.seconds > most.seconds > 120
    assert many.usd == pytest.approx(18 * many.seconds / 3600 * Prices.known().worker_hour, rel=0.01)
    assert str(many).startswith("64 workbooks, about 34,909,120 rows, on 16 workers: about ")
    assert str(forecast(stored[:1], 1)).endswith("at most 0.01 USD")
