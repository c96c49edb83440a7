"""What a process of ours does before it imports Arrow."""

from __future__ import annotations

import gc
import os
import sys


class _WithoutPandas:
    """Hides pandas from Arrow, which imports it if it is installed: that takes a second, and no command uses it."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Raise ModuleNotFoundError for pandas; leave all other modules to the next finder."""
        if name == "pandas":
            raise ModuleNotFoundError("retailpipe commands do not use pandas", name=name)


def prepare_process() -> None:
    """Set this process up for fast imports. Only for a process that runs no code of users: it cannot import pandas."""
    gc.set_threshold(50_000)  # imports create many objects and almost no garbage
    # Arrow's default allocator uses 10% more memory and is not faster here.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    sys.meta_path.insert(0, _WithoutPandas())
