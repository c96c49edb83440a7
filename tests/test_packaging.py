"""The wheel and the source distribution: they are complete, and the installed wheel works without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling import build

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist of a copy of this checkout, in which dbt has left its target and logs folders."""
    folder = tmp_path_factory.mktemp("dist")
    checkout = folder / "checkout"
    ignored = ["work", ".*", "dist", "__pycache__"]
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*ignored))
    for artifact in ("target/manifest.json", "logs/dbt.log"):
        (checkout / "dbt_project" / artifact).parent.mkdir(parents=True)
        (checkout / "dbt_project" / artifact).write_text("{}")
    before = Path.cwd()
    os.chdir(checkout)  # the build backend builds the current folder
    try:
        return folder / build.build_wheel(str(folder)), folder / build.build_sdist(str(folder))
    finally:
        os.chdir(before)


def test_the_wheel_contains_types_contracts_and_models(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[0]) as archive:
        names = archive.namelist()

    assert "retailpipe/py.typed" in names
    assert "retailpipe/contracts/online_retail.toml" in names
    assert "retailpipe/invariants.sql" in names
    assert "retailpipe/html_report/templates/page.html.j2" in names
    assert "retailpipe/dbt_project/dbt_project.yml" in names
    assert "retailpipe/dbt_project/models/gold/monthly_sales_summary.sql" in names
    assert [name for name in names if "/target/" in name or "/logs/" in name or name.startswith("tests")] == []


def test_the_sdist_contains_the_files_to_build_and_test_it(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "Makefile",
        "Pulumi.yaml",
        "Pulumi.dev.yaml",
        "__main__.py",
        "benchmarks/measure.py",
        "tests/conftest.py",
        "dbt_project/profiles.yml",
    } <= names
    assert [name for name in names if name.startswith(("dbt_project/target", "dbt_project/logs"))] == []


def test_an_installed_wheel_runs_the_demo_from_any_folder(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    """The dependencies come from the current environment; retailpipe itself comes only from the wheel."""
    environment = tmp_path / "an empty environment"
    venv.create(environment, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    with zipfile.ZipFile(distributions[0]) as archive:
        archive.extractall(packages)
    ours = Path(sysconfig.get_path("purelib"))
    (packages / "libraries.pth").write_text(f"{ours}\n")
    elsewhere = tmp_path / "some folder"
    elsewhere.mkdir()
    python = environment / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import retailpipe; print(retailpipe.__file__)"], cwd=elsewhere, capture_output=True, text=True
    )
    assert str(packages) in where.stdout

    demo = [python, "-m", "retailpipe", "demo", "--rows", "500", "--json", "--local", "demo"]
    done = subprocess.run(demo, cwd=elsewhere, capture_output=True, text=True, check=False, env={**os.environ})
    subprocess.run(
        [python, "-m", "retailpipe", "local", "destroy", "--yes", "--local", "demo"], cwd=elsewhere, check=True
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"]
    assert report["loads"][0]["rows_read"] == 500
    assert sys.executable != str(python)
