"""The public API: the names that `import retailpipe` exports, and which modules it imports."""

from __future__ import annotations

import builtins
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import retailpipe

PACKAGE = Path(retailpipe.__file__).parent


def test_exported_names_exist_and_are_sorted() -> None:
    assert retailpipe.__all__ == sorted(retailpipe.__all__)
    assert [name for name in retailpipe.__all__ if not hasattr(retailpipe, name)] == []


def test_import_does_not_import_heavy_libraries() -> None:
    code = "import sys, json, retailpipe; print(json.dumps(sorted(sys.modules)))"

    loaded = set(json.loads(subprocess.check_output([sys.executable, "-c", code], text=True)))

    heavy = {
        "pyarrow",
        "adbc_driver_postgresql",
        "python_calamine",
        "dbt",
        "psycopg2",
        "numpy",
        "typer",
        "rich",
        "xlsxwriter",
        "altair",
        "jinja2",
        "openpyxl",
        "cryptography",
    }
    assert loaded & heavy == set()


def test_every_error_accepts_a_hint_and_has_one_base_class() -> None:
    from retailpipe import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]

    assert all(issubclass(kind, retailpipe.RetailpipeError) for kind in kinds)
    assert all(kind("what", hint="do").hint == "do" for kind in kinds)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    from retailpipe import errors

    kinds = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]

    assert [name for name in kinds if name not in (errors.__doc__ or "")] == []


def test_the_library_prints_nothing() -> None:
    printing = [path.name for path in PACKAGE.rglob("*.py") if "print(" in path.read_text() and "cli" not in path.parts]

    assert printing == []


def test_only_one_module_imports_dbt() -> None:
    importing = [path.name for path in PACKAGE.rglob("*.py") if "from dbt." in path.read_text()]

    assert importing == ["dbt_runner.py"]


CAUGHT_INSIDE = {"BadXml", "CalamineError", "CommandError", "StackNotFoundError"}
"""Errors of libraries that `retailpipe.workbook` and `retailpipe.classroom` catch and never raise to callers."""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_docstrings_name_errors_that_are_exported(path: Path) -> None:
    sentences = re.findall(r"\bRaises? ([^.]*)\.", path.read_text())
    named = {word for sentence in sentences for word in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", sentence)}

    assert named - CAUGHT_INSIDE <= {*retailpipe.__all__, *dir(builtins)}


def test_no_exported_name_is_also_a_module() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}

    assert modules & set(retailpipe.__all__) == set()
