"""`class init`: the drafts of a class file and a roster."""

from __future__ import annotations

import stat
import subprocess
from datetime import date
from pathlib import Path

import pytest

from retailpipe import ClassError
from retailpipe.classroom.costs import class_cost
from retailpipe.classroom.definition import CLASS_DEFAULTS, Classroom
from retailpipe.classroom.drafting import draft_class
from tests.conftest import Program

FILES = {"class.toml", "students.csv", ".gitignore"}


def test_the_drafts_are_a_valid_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    draft = draft_class(tmp_path / "spring 2027", today=date(2026, 11, 29))
    classroom = Classroom.read(draft.folder)

    assert {file.name for file in draft.files} == FILES
    assert (classroom.file.course, classroom.file.region) == ("spring 2027", "us-east-1")
    assert classroom.file.expires_on == date(2027, 3, 31)
    assert classroom.file.settings == CLASS_DEFAULTS
    assert [student.name for student in classroom.students] == ["anna-mueller"]


def test_the_cap_on_the_cost_is_enough_for_thirty_students(tmp_path: Path) -> None:
    draft_class(tmp_path)
    lines = [f"s{n},s{n}@example.com,,203.0.113.7/32\n" for n in range(30)]
    (tmp_path / "students.csv").write_text("student,email,iam_user,allowed_cidrs\n" + "".join(lines))

    cost = class_cost(Classroom.read(tmp_path))

    assert not cost.is_too_high
    assert cost.limit - cost.worst < 10


def test_only_you_can_read_the_roster(tmp_path: Path) -> None:
    draft_class(tmp_path)

    assert stat.S_IMODE((tmp_path / "students.csv").stat().st_mode) == 0o600


def test_git_sees_only_the_files_that_people_write(tmp_path: Path) -> None:
    draft_class(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "anna.json").touch()
    (tmp_path / "grades.csv").touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)

    listed = subprocess.check_output(["git", "ls-files", "--others", "--exclude-standard"], cwd=tmp_path, text=True)

    assert set(listed.split()) == FILES


@pytest.mark.parametrize("existing", ["class.toml", "students.csv"])
def test_nothing_is_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")

    with pytest.raises(ClassError, match=f"already has {existing}; nothing was written"):
        draft_class(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


def test_an_existing_gitignore_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine")

    draft = draft_class(tmp_path)

    assert draft.kept == tmp_path / ".gitignore"
    assert draft.kept.read_text() == "mine"
    assert {file.name for file in draft.files} == FILES - {".gitignore"}


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "students.csv").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ClassError, match=r"already has students\.csv"):
        draft_class(tmp_path)

    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ClassError, match=r"cannot write the class into .*: Not a directory"):
        draft_class(tmp_path / "file" / "class")


def test_a_hostile_folder_name_is_only_words_in_the_class_file(tmp_path: Path) -> None:
    folder = tmp_path / 'x"\n[settings]\x1b'

    draft_class(folder)

    assert Classroom.read(folder).file.course == "x settings"


def test_the_command_names_the_next_one(program: Program, tmp_path: Path) -> None:
    done = program("class", "init", "my class")

    assert done.returncode == 0, done.stderr
    assert "class plan --class 'my class'" in done.stdout
    assert {path.name for path in (tmp_path / "my class").iterdir()} == FILES

    again = program("class", "init", "my class")
    assert again.returncode == 2
    assert "retailpipe class plan --class 'my class'`" in again.stderr
