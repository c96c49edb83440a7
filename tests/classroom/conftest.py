"""Fixtures of the tests of the class.

An account on the simulated AWS; a class of five, and the warehouse of the student who did everything right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.aws.session import Aws
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.grading.exercise import Exercise, seed_of
from retailpipe.local.server import EmbeddedServer
from tests.conftest import execute_as_superuser
from tests.support.aws import empty_account
from tests.support.servers import execute
from tests.support.stacks import REGION, HandMade, variables

NAMES = ("anna", "ben", "chloe", "david", "eve")
ROWS = 600
SEED = 20_261

CLASS_FILE = f"""
version = 1
course = "Data engineering"
region = "eu-central-1"
expires_on = 2027-03-31
max_monthly_cost = 300

[settings]
allowedCidrs = "203.0.113.0/24"

[workbooks]
seed = {SEED}
rows = {ROWS}
"""
OWN_MODEL = "select customer_id, sum(revenue) as revenue from {{ ref('int_invoices') }} group by customer_id"


def write_class(folder: Path, names: tuple[str, ...] = NAMES, text: str = CLASS_FILE) -> Classroom:
    """Write a class file and a roster."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "class.toml").write_text(text)
    lines = [f"{name},{name}@example.com,{number}" for number, name in enumerate(names, start=4711)]
    (folder / "students.csv").write_text("\n".join(["student,email,matriculation", *lines]))
    return Classroom.read(folder)


def write_workbook_of(student: str, folder: Path, *, seed: int = SEED, rows: int = ROWS) -> Path:
    """Write a student's workbook."""
    path = folder / f"{student}.xlsx"
    Exercise.generate(seed_of(seed, student), rows).write(path)
    return path


def add_own_model(environment: Environment) -> None:
    (environment.folder / "models").mkdir(parents=True)
    (environment.folder / "models" / "customer_revenue.sql").write_text(OWN_MODEL)


@dataclass(frozen=True)
class Warehouse:
    """An environment of the tests, whose database they may change."""

    environment: Environment
    url: str

    def execute(self, *statements: str) -> None:
        execute(self.url, *statements)


def _database_url(server: EmbeddedServer, name: str) -> str:
    return server.start().replace("/retailpipe?", f"/{name}?")


@pytest.fixture(scope="session")
def _solution(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database in which anna did everything right."""
    name, folder = "solution_of_anna", tmp_path_factory.mktemp("solution")
    execute_as_superuser(server, f"create database {name} owner retailpipe")
    environment = Environment.local(folder / "anna", database_url=_database_url(server, name))
    add_own_model(environment)
    assert retailpipe.run(environment, write_workbook_of("anna", folder)).ok
    yield name
    execute_as_superuser(server, f"drop database {name} with (force)")


@pytest.fixture
def solved(server: EmbeddedServer, _solution: str, tmp_path: Path) -> Iterator[Warehouse]:
    """A copy of anna's warehouse, for one test."""
    name = "solution_copy"
    execute_as_superuser(server, f"create database {name} template {_solution} owner retailpipe")
    url = _database_url(server, name)
    environment = Environment.local(tmp_path / "anna's environment", database_url=url)
    add_own_model(environment)
    yield Warehouse(environment, url)
    execute_as_superuser(server, f"drop database {name} with (force)")


@pytest.fixture
def classroom(tmp_path: Path) -> Classroom:
    return write_class(tmp_path / "class")


@pytest.fixture(scope="module")
def account(moto: str) -> Iterator[HandMade]:
    """An empty account for one module."""
    empty_account(moto)
    account = HandMade(moto, {})
    yield account
    account.close()


@pytest.fixture(scope="module")
def _clients(account: HandMade) -> Iterator[Aws]:
    """The clients of all tests of a module: each takes a moment to create."""
    clients = Aws(region=REGION)
    yield clients
    clients.close()


@pytest.fixture
def aws(account: HandMade, _clients: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Clients of the library; the environment variables point this process and its children to the account."""
    for name, value in variables(account.endpoint).items():
        monkeypatch.setenv(name, value)
    return _clients
