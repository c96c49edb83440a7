"""Skips tests that need a program or a file that is not on this machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip(reason: str) -> NoReturn:
    """Skip the test with a reason. In CI, fail instead, because CI must have everything."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
