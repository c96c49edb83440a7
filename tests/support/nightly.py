"""Run some cases of a slow test for every change, and all of them in the night."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def most_nightly(cases: Iterable[Any], daily: Collection[int]) -> list[Any]:
    """Mark all cases of a parametrized test as nightly, except those whose places in the list are in `daily`."""
    return [
        case
        if place in daily
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.nightly)
        for place, case in enumerate(cases)
    ]
