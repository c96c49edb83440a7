"""The folder models/ of an environment: which files count, and which are refused with their place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from retailpipe import Environment
from retailpipe.errors import TransformError
from retailpipe.models import generated_project, own_models, project_folder, project_hash

URL = "postgresql://nobody@127.0.0.1:1/nowhere"


@pytest.fixture
def shop(tmp_path: Path) -> Environment:
    """An environment with one model; nothing connects to its database."""
    environment = Environment.local(tmp_path / "my shop", database_url=URL)
    (environment.folder / "models").mkdir(parents=True)
    (environment.folder / "models" / "branches.sql").write_text("select 1 as x")
    return environment


def problem(environment: Environment) -> TransformError:
    own = own_models(environment)
    assert own
    assert own.problem
    assert own.problem.hint
    return own.problem


def digest(environment: Environment) -> str:
    own = own_models(environment)
    assert own
    assert own.problem is None, own.problem
    return project_hash(own)


@pytest.mark.parametrize("folder", [None, "models"])
def test_an_environment_without_models_has_none(tmp_path: Path, folder: str | None) -> None:
    environment = Environment.local(tmp_path / "shop", database_url=URL)
    if folder:
        (environment.folder / folder).mkdir(parents=True)

    assert own_models(environment) is None


def test_the_hash_changes_with_names_and_contents_of_all_files(shop: Environment) -> None:
    models = shop.folder / "models"
    hashes = [project_hash(), digest(shop)]
    (models / "branches.sql").write_text("select 2 as x")
    hashes.append(digest(shop))
    (models / "branches.sql").rename(models / "shops.sql")
    hashes.append(digest(shop))
    (models / "more").mkdir()
    (models / "more" / "shops.yml").write_text("models: []")
    hashes.append(digest(shop))

    assert len(set(hashes)) == 5
    assert digest(shop) == hashes[-1]


def test_hidden_files_do_not_count(shop: Environment) -> None:
    before = digest(shop)
    (shop.folder / "models" / ".DS_Store").write_bytes(b"\0\xff")
    (shop.folder / "models" / ".git").mkdir()
    (shop.folder / "models" / ".git" / "HEAD").write_text("ref")

    assert digest(shop) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.sql", b"select 1 as x\n-- caf\xe9\n", "a.sql, line 2 is not UTF-8"),
        ("a.yml", b"\xef\xbb\xbfmodels: []", "a.yml, line 1 begins with a byte order mark"),
        ("a.sql", b"select\n1\0", "a.sql, line 2 contains a NUL character"),
        ("a.sql", b" \n", "a.sql is empty"),
        ("notes.txt", b"read me", "notes.txt is not a model"),
        ("a.py", b"def model(): ...", "a.py is not a model"),
        ("a.SQL", b"select 1", "a.SQL is not a model"),
        ("sub/dim_date.sql", b"select 1", "sub/dim_date.sql has the name of a model of retailpipe"),
        ("sub/branches.sql", b"select 1", "sub/branches.sql has the name of the model models/branches.sql"),
        ("My Branches.sql", b"select 1", "My Branches.sql: the name of a model must consist of"),
        ("a.b.sql", b"select 1", "a.b.sql: the name of a model must consist of"),
        ("a\nb.sql", b"select 1", "has a name that is not UTF-8 or not printable"),
    ],
)
def test_a_file_that_dbt_cannot_read_is_named_with_its_place(
    shop: Environment, name: str, content: bytes, message: str
) -> None:
    file = shop.folder / "models" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)

    assert message in str(problem(shop))
    own = own_models(shop)
    assert own
    with pytest.raises(TransformError, match="models"):
        generated_project(shop, own, [])


def test_a_name_that_is_not_utf8_is_refused(shop: Environment) -> None:
    try:
        (shop.folder / "models" / os.fsdecode(b"caf\xe9.sql")).write_text("select 1")
    except OSError:  # this file system stores only UTF-8
        return

    assert r"caf\udce9.sql has a name that is not UTF-8" in str(problem(shop))


def a_link_to_a_file(models: Path) -> None:
    (models / "linked.sql").symlink_to(models / "branches.sql")


def a_link_to_nothing(models: Path) -> None:
    (models / ".#branches.sql").symlink_to("user@host.1234")  # as Emacs marks a file that is being edited


def a_link_to_a_folder(models: Path) -> None:
    (models / "all").symlink_to(models)


@pytest.mark.parametrize("link", [a_link_to_a_file, a_link_to_nothing, a_link_to_a_folder])
def test_links_are_refused(shop: Environment, link: Callable[[Path], None]) -> None:
    link(shop.folder / "models")

    assert "is a link" in str(problem(shop))


def test_a_pipe_is_refused_and_not_read(shop: Environment) -> None:
    os.mkfifo(shop.folder / "models" / "pipe.sql")

    assert "pipe.sql is not a model" in str(problem(shop))


def test_the_folder_itself_may_be_a_link(shop: Environment, tmp_path: Path) -> None:
    before = digest(shop)
    (shop.folder / "models").rename(tmp_path / "repository")
    (shop.folder / "models").symlink_to(tmp_path / "repository")

    assert digest(shop) == before


def test_a_link_to_a_missing_folder_and_a_file_named_models_are_refused(shop: Environment, tmp_path: Path) -> None:
    (shop.folder / "models").rename(tmp_path / "repository")
    (shop.folder / "models").symlink_to(tmp_path / "nowhere")
    assert "cannot read" in str(problem(shop))

    (shop.folder / "models").unlink()
    (shop.folder / "models").write_text("not a folder")
    assert "cannot read" in str(problem(shop))


def test_the_generated_project_is_written_once(shop: Environment) -> None:
    """dbt parses every file again that was written again."""
    own = own_models(shop)
    assert own
    first = generated_project(shop, own, ["branch_sales"])
    times = {file: file.lstat().st_mtime_ns for file in first.folder.rglob("*")}

    second = generated_project(shop, own, ["branch_sales"])
    third = generated_project(shop, own, None)

    assert first == second == third
    assert {file: file.lstat().st_mtime_ns for file in first.folder.rglob("*")} == times
    assert generated_project(shop, own, ["branch_sales", "more"]).fingerprint != first.fingerprint


def test_the_generated_project_changes_nothing_of_ours(shop: Environment) -> None:
    ours = {file: file.stat().st_mtime_ns for file in project_folder().rglob("*")}
    own = own_models(shop)
    assert own

    project = generated_project(shop, own, [])

    assert {file: file.stat().st_mtime_ns for file in project_folder().rglob("*")} == ours
    assert (project.folder / "dbt_packages" / "retailpipe").resolve() == project_folder().resolve()
    assert (project.folder / "models").resolve() == (shop.folder / "models").resolve()


def test_a_folder_that_cannot_be_written_raises_a_clear_error(shop: Environment) -> None:
    (shop.folder / "dbt").write_text("a file where the folder must be")
    own = own_models(shop)
    assert own

    with pytest.raises(TransformError, match="cannot write the dbt project") as caught:
        generated_project(shop, own, [])

    assert caught.value.hint
