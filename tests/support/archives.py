"""The archives of the Lambdas, as Pulumi packs them."""

from __future__ import annotations

import importlib
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pulumi

from retailpipe.infra.functions import archive

_OWN = ("handler", "source", "common", "addresses", "keys")


def packed(function: str, path: Path) -> Path:
    """Write the archive of a function as a zip file; returns its path."""
    with zipfile.ZipFile(path, "w") as file:
        for name, asset in archive(function).assets.items():
            assert isinstance(asset, pulumi.FileAsset)
            file.write(asset.path, name)
    return path


@contextmanager
def handlers(folder: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Yield a function that imports the handler of a Lambda from its archive, as Lambda's runtime does.

    The imported modules have the same names in both archives, so they are removed before each import and at the end.
    """
    before = [*sys.path]

    def load(function: str) -> ModuleType:
        _remove_imported_modules()
        sys.path.insert(0, str(packed(function, folder / f"{function}.zip")))
        return importlib.import_module("handler")

    yield load
    sys.path[:] = before
    _remove_imported_modules()


def _remove_imported_modules() -> None:
    if common := sys.modules.get("common"):
        common.client.cache_clear()
    for name in _OWN:
        sys.modules.pop(name, None)
