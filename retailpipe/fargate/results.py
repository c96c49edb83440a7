"""The result of a run as JSON: the client task writes it, and the machine that started the run reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from retailpipe import errors
from retailpipe.errors import RetailpipeError
from retailpipe.reports import LoadReport, Overlap, Reject, Replaced, SomeNotLoaded


def of_reports(reports: Sequence[LoadReport]) -> dict[str, Any]:
    """The result of a run in which every workbook was loaded."""
    return {"ended_at": _now(), "reports": [report.as_dict() for report in reports], "failures": [], "untried": 0}


def of_error(error: RetailpipeError) -> dict[str, Any]:
    """The result of a run that failed, or in which some workbooks failed."""
    if isinstance(error, SomeNotLoaded):
        failures = [_failure(each) for each in error.failures]
        return {**of_reports(error.reports), "failures": failures, "untried": error.untried}
    return {**of_reports([]), "error": _failure(error)}


def reports_of(result: Mapping[str, Any], *, one: bool = False) -> list[LoadReport]:
    """The reports in a result. one: whether the user named a single workbook.

    Raises SomeNotLoaded if workbooks failed, the workbook's own error if there was only one, or the error of the run.
    """
    reports = [_report(each) for each in result["reports"]]
    failures = [_error(each) for each in result["failures"]]
    error = _error(result["error"]) if "error" in result else None
    if error and (one or isinstance(error, errors.WorkersError | errors.UsageError)):
        raise error
    if error:
        failures = [error]
    if failures:
        raise SomeNotLoaded(reports, failures, untried=result["untried"])
    return reports


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _failure(error: RetailpipeError) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error), "hint": error.hint}


def _error(document: Mapping[str, str]) -> RetailpipeError:
    kind = getattr(errors, document["type"], RetailpipeError)
    known = isinstance(kind, type) and issubclass(kind, RetailpipeError)
    return (kind if known else RetailpipeError)(document["message"], hint=document["hint"])


def _report(document: Mapping[str, Any]) -> LoadReport:
    replaces = document["replaces"]
    parsed: dict[str, Any] = {
        **_with_times(document, "first_date", "last_date"),
        "rejects": tuple(Reject(**each) for each in document["rejects"]),
        "ignored_columns": tuple(document["ignored_columns"]),
        "replaces": Replaced(**_with_times(replaces, "loaded_at")) if replaces else None,
        "overlaps": tuple(Overlap(**_with_times(each, "first_date", "last_date")) for each in document["overlaps"]),
    }
    return LoadReport(**parsed)


def _with_times(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    times = {name: document[name] and datetime.fromisoformat(document[name]) for name in names}
    return {**document, **times}
