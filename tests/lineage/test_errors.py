"""An error in what makes an event: the load goes on, each START has its end, and one warning has no secret."""

from __future__ import annotations

from typing import Any

import pytest

from retailpipe import Environment
from retailpipe.lineage import emitter
from retailpipe.lineage.emitter import emit
from retailpipe.lineage.runs import Content, Run


@pytest.fixture(autouse=True)
def _no_warning_yet() -> None:
    emitter.warn_once.cache_clear()


def broken() -> Content:
    raise ValueError("invalid address: postgresql://ann:secret@host")


def test_run_whose_content_cannot_be_made_ends(environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    events: list[dict[str, Any]] = []
    with Run(environment, "job", "LOAD", events.append) as run:
        run.begin(Content)
        run.end(broken)

    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    [message] = caplog.messages
    assert message.startswith("cannot make a lineage event (ValueError in test_errors.py:")
    assert "secret" not in message


def test_event_that_is_not_one_is_one_warning(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may come from another machine, by the bucket."""
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "shop")

    emit(environment.folder, {"job": None})
    emit(environment.folder, {})

    assert [message.partition(" in ")[0] for message in caplog.messages] == [
        "cannot make a lineage event (TypeError",
        "cannot make a lineage event (KeyError",
    ]
