"""Which versions a process runs: a worker must run those of the program that sends it work."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import PackageNotFoundError, version

from retailpipe.contract import Contract
from retailpipe.errors import WorkersError

PACKAGES = ("retailpipe", "pyarrow", "adbc-driver-postgresql", "python-calamine", "isal")
"""Packages that decide what a load writes."""
Program = tuple[tuple[str, str], ...]
"""Pairs of what a version is of, and the version."""


@functools.cache
def program() -> Program:
    """The versions of this process: Python, packages, schema bronze, and the contract for Online Retail."""
    from retailpipe.bronze.schema import MIGRATIONS

    python = ".".join(platform.python_version_tuple()[:2])
    packages = [(name, _version(name)) for name in PACKAGES]
    contract = Contract.default().fingerprint[:12]
    return (("Python", python), *packages, ("schema bronze", str(len(MIGRATIONS))), ("the default contract", contract))


def require_same(here: Program, where: str, there: Program) -> None:
    """Raise WorkersError if a process has other versions than this one. where: its name, for the message."""
    theirs = dict(there)
    different = [
        f"{name} is {theirs.get(name, 'missing')} there and {own} here" for name, own in here if theirs.get(name) != own
    ]
    if different:
        raise WorkersError(
            f"{where} runs other versions: {'; '.join(different)}; nothing was loaded there",
            hint="Install the same versions on the workers, for example from the same uv.lock, and start them again.",
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
