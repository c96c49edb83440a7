"""What `import retailpipe` offers, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import retailpipe


def test_all_names_are_there_and_sorted() -> None:
    assert retailpipe.__all__ == sorted(retailpipe.__all__)
    assert [name for name in retailpipe.__all__ if not hasattr(retailpipe, name)] == []


def test_importing_it_waits_with_the_heavy_libraries() -> None:
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
    }
    assert loaded & heavy == set()


def test_every_error_has_a_hint_and_one_base() -> None:
    from retailpipe import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]

    assert all(issubclass(kind, retailpipe.RetailpipeError) for kind in kinds)
    assert all(kind("what", hint="do").hint == "do" for kind in kinds if kind is not errors.SomeNotLoaded)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    from retailpipe import errors

    kinds = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]

    assert [name for name in kinds if name not in (errors.__doc__ or "")] == []


def test_the_library_prints_nothing() -> None:
    from pathlib import Path

    package = Path(retailpipe.__file__).parent
    printing = [path.name for path in package.rglob("*.py") if "print(" in path.read_text() and "cli" not in path.parts]

    assert printing == []


def test_only_one_module_imports_dbt() -> None:
    from pathlib import Path

    package = Path(retailpipe.__file__).parent
    importing = [path.name for path in package.rglob("*.py") if "from dbt." in path.read_text()]

    assert importing == ["transform.py"]
