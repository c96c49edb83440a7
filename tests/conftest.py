"""Fixtures of all tests: real servers, real workbooks, and the command-line program."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

from retailpipe import Environment, transform
from retailpipe.local import cluster
from retailpipe.local.server import EmbeddedServer
from retailpipe.sample import HEADERS, write_sample
from retailpipe.store import FolderStore
from tests.support.aws import empty_account, moto_server
from tests.support.forked import command
from tests.support.forked.service_models import read_once
from tests.support.lacking import skip
from tests.support.many_workbooks import ROWS
from tests.support.servers import as_superuser, execute, folder_for_servers, hashed_once, password_of
from tests.support.stacks import HandMade, hand_made, variables
from tests.support.tls_server import PASSWORD, USER, TlsServer, tls_server
from tests.support.workbooks import keep_contract_of_notes

ROW = (
    536365,
    "85123A",
    "WHITE HANGING HEART",
    6,
    datetime(2010, 12, 1, 8, 26),
    2.55,
    17850,
    "United Kingdom",
)

Workbook = Callable[..., Path]
Program = Callable[..., "subprocess.CompletedProcess[str]"]


# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests of Ctrl-C need the default.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


read_once()
# On a busy machine, an example may take any time. Our fixtures may be shared by the examples of a test.
settings.register_profile(
    "busy", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("busy")


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of garbage collections: they took a tenth of the time of the tests."""
    gc.collect()
    gc.freeze()


class ByFolder(LoadScopeScheduling):
    """Each module runs in one process, and so does each folder whose modules share what takes long to prepare."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.partition("/")[2].partition("/")[0]
        return folder if folder in ("html_report", "tracing") else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Replace the scheduler of --dist loadscope."""
    return ByFolder(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session", autouse=True)
def _own_register(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's register of environments from servers that live longer than one test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the user's settings, data directory and register of environments from every test."""
    for name in list(os.environ):
        if (
            name.startswith(("RETAILPIPE_", "PG", "DBT_", "AWS_", "PULUMI_", "OPENLINEAGE_"))
            and name != "RETAILPIPE_DATASET"
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state home"))


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """An embedded PostgreSQL that runs during the whole test session."""
    with folder_for_servers() as folder:
        server = EmbeddedServer(folder)
        url = as_superuser(server.start())
        for role in (cluster.USER, cluster.READER, cluster.SUPERUSER):
            execute(url, f"alter role {role} password '{hashed_once(password_of(server.passfile, role))}'")
        yield server
        server.destroy()


@contextmanager
def new_database(server: EmbeddedServer, options: str = "") -> Iterator[str]:
    """A database for one test, always with the same name, so that dbt can use what it has parsed before.

    options: of `create database`, such as the template.
    """
    name = "one_test"
    execute_as_superuser(server, f"create database {name} owner retailpipe {options}")
    try:
        yield server.start().replace("/retailpipe?", f"/{name}?")
    finally:
        execute_as_superuser(server, f"drop database {name} with (force)")


def execute_as_superuser(server: EmbeddedServer, statement: str) -> None:
    execute(as_superuser(server.start()), statement)


@pytest.fixture
def database_url(server: EmbeddedServer) -> Iterator[str]:
    """An empty database for one test."""
    with new_database(server) as url:
        yield url


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for our models as dbt has parsed them; dbt checks itself whether they are still the same."""
    return tmp_path_factory.mktemp("parsed")


@contextmanager
def parsed_once(environment: Environment, kept: Path) -> Iterator[Environment]:
    """Let dbt use in an environment what it has parsed in an earlier one; the first environment's is kept."""
    file = environment.folder / "dbt" / "target" / "partial_parse.msgpack"
    if kept.exists():
        file.parent.mkdir(parents=True)
        shutil.copy(kept, file)
    yield environment
    if not kept.exists() and file.exists() and not (environment.folder / "models").exists():
        shutil.copy(file, kept)


@pytest.fixture
def environment(tmp_path: Path, database_url: str, parsed: Path) -> Iterator[Environment]:
    """An empty environment for one test, with a database on the shared server."""
    environment = Environment.local(tmp_path / "environment", database_url=database_url)
    with parsed_once(environment, parsed / "local") as environment:
        yield environment


@dataclass(frozen=True)
class Prepared:
    """An environment that was loaded or built once. Tests get copies of it, so they need not build first."""

    server: EmbeddedServer
    folder: Path
    database: str

    @contextmanager
    def copied(self, folder: Path) -> Iterator[Environment]:
        """A copy for one test, in another folder."""
        shutil.copytree(self.folder, folder)
        with new_database(self.server, f"template {self.database}") as url:
            yield Environment.local(folder, database_url=url)


@contextmanager
def prepared(
    server: EmbeddedServer, parsed: Path, folder: Path, database: str, prepare: Callable[[Environment], object]
) -> Iterator[Prepared]:
    """Prepare an environment in a folder, and keep it for copies. database: the name of the database that is kept."""
    with new_database(server) as url:
        with parsed_once(Environment.local(folder, database_url=url), parsed / "local") as environment:
            prepare(environment)
        execute_as_superuser(server, f"create database {database} owner retailpipe template one_test")
    yield Prepared(server, folder, database)
    execute_as_superuser(server, f"drop database {database}")


@pytest.fixture(scope="session")
def built_without_loads(
    server: EmbeddedServer, parsed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prepared]:
    def prepare(environment: Environment) -> None:
        keep_contract_of_notes(environment.folder)
        assert transform(environment).ok

    folder = tmp_path_factory.mktemp("built") / "environment"
    with prepared(server, parsed, folder, "built_without_loads", prepare) as copies:
        yield copies


@pytest.fixture
def built_environment(built_without_loads: Prepared, tmp_path: Path) -> Iterator[Environment]:
    """An environment without workbooks, whose silver and gold are built.

    No model reads the table of notes. So a test in which a build is not the point loads notes, which need no build.
    """
    with built_without_loads.copied(tmp_path / "environment") as environment:
        yield environment


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 workbooks with other rows each."""
    folder = tmp_path_factory.mktemp("samples")
    for number in range(30):
        write_sample(folder / f"branch_{number:02}.xlsx", rows=ROWS, seed=number)
    return folder


@pytest.fixture
def make_workbook(tmp_path: Path) -> Workbook:
    """A function that writes a workbook with openpyxl: a header and rows of the same length."""

    def make(
        rows: Sequence[Sequence[Any]] = (ROW,),
        *,
        name: str = "book.xlsx",
        headers: Sequence[Any] = HEADERS,
        sheet: str = "Online Retail",
    ) -> Path:
        book = openpyxl.Workbook()
        page = book.active
        assert page is not None
        page.title = sheet
        for row in (headers, *rows):
            page.append(list(row))
        path = tmp_path / name
        book.save(path)
        return path

    return make


@pytest.fixture
def notes(make_workbook: Workbook) -> Callable[..., Path]:
    """A function that writes a workbook of notes, for the contract NOTES."""

    def make(number: int = 1) -> Path:
        return make_workbook([(f"note {n}",) for n in range(number)], headers=("Note",), name="notes.xlsx")

    return make


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A function that runs the command-line program in its own process, in the test's folder."""

    def call(
        *arguments: str | Path, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command(), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **options,
        )

    return call


@pytest.fixture(scope="session")
def dataset() -> Path:
    """The real workbook: RETAILPIPE_DATASET, or ../shared/data/online_retail.xlsx beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "online_retail.xlsx"
    path = Path(os.environ.get("RETAILPIPE_DATASET", beside))
    if not path.is_file():
        skip(f"the real workbook is not at {path}: set RETAILPIPE_DATASET to its path")
    return path


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The endpoint of moto, which simulates AWS."""
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def tls() -> Iterator[TlsServer]:
    """A PostgreSQL server with TLS, used in place of RDS."""
    with tls_server() as server:
        yield server


@pytest.fixture(scope="module")
def template_on_aws() -> str:
    """The database that the database of `made` is a copy of. A module may prepare another one."""
    return "template1"


@pytest.fixture
def made(
    moto: str, tls: TlsServer, template_on_aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[HandMade]:
    """A stack for one test, with an empty database; the environment variables point this process to both."""
    empty_account(moto)
    for name, value in variables(moto, tls.ca).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache home"))
    made = hand_made(moto, tls.port)
    database = "one_test"
    made.outputs["database_name"] = database
    made.publish()
    tls.execute(f"alter role {USER} password '{hashed_once(PASSWORD)}'")
    tls.execute(f"create database {database} template {template_on_aws} owner {USER}")
    yield made
    tls.execute(f"drop database {database} with (force)")
    made.close()


@pytest.fixture
def on_aws(made: HandMade, parsed: Path) -> Iterator[Environment]:
    """The environment of the stack `made`."""
    with parsed_once(Environment.from_stack("dev"), parsed / "aws") as environment:
        yield environment
    assert environment.stack
    environment.stack.aws.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "an environment"


@pytest.fixture
def store(folder: Path) -> FolderStore:
    return FolderStore(folder)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A file with the name of a workbook. Its content is not a workbook, because stores do not parse it."""
    book = tmp_path / "book.xlsx"
    book.write_bytes(b"first content")
    return book


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for environments that other accounts can access: a server that root starts keeps its data in it."""
    with folder_for_servers() as place:
        yield place
        remove_servers(place)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder for environments that other accounts cannot access: a server of root keeps its data elsewhere."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    yield closed
    remove_servers(closed)


def remove_servers(place: Path) -> None:
    """Stop and delete the server of every environment in a folder."""
    for folder in place.iterdir():
        if (folder / "postgres").is_dir() and not folder.is_symlink():
            EmbeddedServer(folder).destroy()
