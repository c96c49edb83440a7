"""Programs of this machine that the tests need."""

from __future__ import annotations

import os
import shutil

from tests.support.lacking import skip


def uv() -> str:
    """The path of uv, which runs the tests. Skips the test if it is not on PATH."""
    return os.environ.get("UV") or shutil.which("uv") or skip("uv is not on PATH")
