"""The class file, and the class that it and the roster define: values, defaults, and all mistakes at once."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from retailpipe import ClassError
from retailpipe.classroom.class_file import ClassFile
from retailpipe.classroom.definition import Classroom
from tests.support.classes import HEADER, read_class, write_class

MINIMUM = """\
version = 1
course = "Data"
region = "eu-central-1"
expires_on = 2099-03-31
max_monthly_cost = 300
"""


def read(folder: Path, text: str | bytes) -> ClassFile:
    file = folder / "class.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ClassFile.read(file)


def refused(folder: Path, text: str | bytes) -> list[str]:
    """The mistakes of a class file, without its path."""
    with pytest.raises(ClassError) as caught:
        read(folder, text)
    return str(caught.value).replace(f"{folder / 'class.toml'}", "class.toml").split("\n")


def mistakes(folder: Path, roster: str | None = None, **options: Any) -> list[str]:
    """The mistakes of a class, without the paths of its files. roster: the lines below the header."""
    write_class(folder, **options)
    if roster is not None:
        (folder / "students.csv").write_text(f"{HEADER}\n{roster}")
    with pytest.raises(ClassError) as caught:
        Classroom.read(folder)
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def test_a_short_class_file_gets_defaults(tmp_path: Path) -> None:
    file = read(tmp_path, MINIMUM)

    assert (file.project, file.account, file.seed, file.rows, file.stacks_at_once) == (
        "retailpipe",
        "",
        None,
        5000,
        None,
    )
    assert file.roster == tmp_path / "students.csv"
    assert (file.state_url, file.secrets_provider) == ((tmp_path / "state").as_uri(), "passphrase")
    assert file.expires_on == date(2099, 3, 31)


def test_all_keys_are_read(tmp_path: Path) -> None:
    text = MINIMUM.replace("2099-03-31", '"2099-03-31"') + (
        'project = "course"\naccount = "123456789012"\nroster = "names.csv"\nstacks_at_once = 4\n'
        '[settings]\ndatabaseStorage = 30\nalarms = true\nallowedCidrs = ["1.2.3.4/32", "5.6.7.8/32"]\n'
        '[students.anna]\ndashboard = true\n[state]\nurl = "s3://bucket"\nsecrets_provider = "awskms://alias/x"\n'
        "[workbooks]\nseed = 7\nrows = 100\n"
    )

    file = read(tmp_path, "\ufeff" + text)

    assert (file.project, file.account, file.stacks_at_once, file.seed, file.rows) == (
        "course", "123456789012", 4, 7, 100,
    )  # fmt: skip
    assert file.roster == tmp_path / "names.csv"
    assert (file.state_url, file.secrets_provider) == ("s3://bucket", "awskms://alias/x")
    assert file.settings == {"databaseStorage": "30", "alarms": "true", "allowedCidrs": "1.2.3.4/32,5.6.7.8/32"}
    assert file.overrides == {"anna": {"dashboard": "true"}}
    assert file.expires_on == date(2099, 3, 31)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("", "it is missing"),
        ("version = 2\n", "another version of retailpipe wrote this file"),
        ("version = true\n", "another version of retailpipe wrote this file"),
    ],
)
def test_another_version_is_refused(tmp_path: Path, version: str, reason: str) -> None:
    (mistake,) = refused(tmp_path, MINIMUM.replace("version = 1\n", version))

    assert f"class.toml, line 1: version must be 1: {reason}" in mistake


def test_all_mistakes_are_listed_with_their_lines(tmp_path: Path) -> None:
    text = (
        'version = 1\ncourse = ""\nregion = "Frankfurt"\naccount = "12"\nexpires_on = 2099-03-31T10:00:00\n'
        "max_monthly_cost = true\nstacks_at_once = 0\ncolour = 1\n[settings]\nalarms = {}\n[workbooks]\nrows = -1\n"
        "[state]\nbucket = 1\n"
    )

    assert refused(tmp_path, text) == [
        "class.toml, line 8: unknown key 'colour'; the keys are account, course, expires_on, max_monthly_cost, "
        "project, region, roster, settings, stacks_at_once, state, students, version, workbooks: colour = 1",
        "class.toml, line 14: unknown key 'bucket'; the keys are secrets_provider, url: bucket = 1",
        'class.toml, line 2: course must be a string that is not empty: course = ""',
        'class.toml, line 3: region must be a region such as eu-central-1: region = "Frankfurt"',
        'class.toml, line 4: account must be the twelve digits of an AWS account: account = "12"',
        "class.toml, line 5: expires_on must be a date such as 2027-03-31: expires_on = 2099-03-31T10:00:00",
        "class.toml, line 6: max_monthly_cost must be an amount in USD of at most 1,000,000, such as 300: "
        "max_monthly_cost = true",
        "class.toml, line 7: stacks_at_once must be a whole number, from 1 to 32: stacks_at_once = 0",
        "class.toml, line 10: alarms must be a text, a number, true, false, a date, or a list of texts",
        "class.toml, line 12: rows must be a whole number, from 1 to 1,048,575: rows = -1",
    ]


def test_the_mistakes_of_the_class_file_and_of_the_roster_are_listed_together(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        "anna,anna.example.com,,203.0.113.7/32\n",
        keys="stacks_at_once = 0",
        settings="[settings]\nnightlyStop = 25",
    )

    assert [mistake.partition(":")[0] for mistake in found] == [
        "class.toml, line 6",
        "students.csv, line 2",
        "class.toml, line 8",
    ]


@pytest.mark.parametrize("amount", ["inf", "nan", "-1", "0", '"300"', "1" + "0" * 400])
def test_an_amount_that_is_not_usable_is_a_mistake(tmp_path: Path, amount: str) -> None:
    (mistake,) = refused(tmp_path, MINIMUM.replace("300", amount))

    assert "max_monthly_cost must be an amount in USD" in mistake


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = ", "is not valid TOML"),
        (b"version = 1 # K\xf6ln", "is not UTF-8"),
        ("a = " + "[" * 5000, "is not valid TOML"),
        (MINIMUM + "students = 1\n", "students must contain a table for each student, such as [students.anna]"),
        (MINIMUM + "students.anna = 1\n", "write the settings in a table: [students.anna]"),
        (MINIMUM + "state = 1\n", "state must be a table: [state]"),
        (MINIMUM + "settings = [1]\n", "write the settings in a table: [settings]"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in refused(tmp_path, text)[0]


def test_a_missing_class_file_is_named_with_the_command_that_drafts_one(tmp_path: Path) -> None:
    with pytest.raises(ClassError, match="cannot read the class file") as caught:
        ClassFile.read(tmp_path / "class.toml")

    assert "`retailpipe class init FOLDER`" in caught.value.hint


# the class


def test_a_student_has_the_settings_of_the_class_and_the_roster(tmp_path: Path) -> None:
    settings = (
        '[settings]\nalarms = true\ndashboard = true\n[students.ben]\ndashboard = false\nallowedCidrs = "9.9.9.9/32"'
    )
    write_class(tmp_path, settings=settings)
    (tmp_path / "students.csv").write_text(
        f"{HEADER}\nanna,anna.o'hara@example.com,anna-iam,1.2.3.4/32 5.6.7.8/32\nben,b@example.com,,\n"
    )

    classroom = Classroom.read(tmp_path)
    anna, ben = map(classroom.settings_of, classroom.students)

    assert (anna.alarms, anna.dashboard, ben.alarms, ben.dashboard) == (True, True, True, False)
    assert anna.allowed_cidrs == ("1.2.3.4/32", "5.6.7.8/32")
    assert ben.allowed_cidrs == ("9.9.9.9/32",)
    assert (anna.student_user, ben.student_user) == ("anna-iam", None)
    assert (anna.owner, anna.expires_on, anna.ephemeral) == ("anna.o_hara@example.com", "2099-03-31", True)


def test_a_class_has_cheaper_defaults_than_a_single_stack(tmp_path: Path) -> None:
    classroom = read_class(tmp_path)
    settings = classroom.settings_of(classroom.student("anna"))

    assert (settings.alarms, settings.dashboard, settings.monthly_budget) == (False, False, 0)
    assert settings.nightly_stop == "18:00"


def test_a_student_who_is_not_in_the_roster_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClassError, match="has no student 'zoe'") as caught:
        read_class(tmp_path).student("zoe")

    assert caught.value.hint == "The students are anna, ben."


def test_mistakes_of_both_files_are_listed_together(tmp_path: Path) -> None:
    settings = '[settings]\nephemeral = false\ncolour = 1\nnightlyStop = "6 pm"\n[students.zoe]\nalarms = true\n'

    found = mistakes(tmp_path, "anna,a@example.com,,0.0.0.0/0\nAnna,anna,,\n", settings=settings)

    assert found == [
        "students.csv, line 3: the name 'Anna' is not allowed: names of buckets and databases may contain only "
        "lower-case letters, digits and single hyphens, and must start with a letter. Write, for example, anna-2",
        "students.csv, line 3: line 2 already has a student 'Anna'",
        "students.csv, line 3: 'anna' is not an email address",
        "class.toml, line 8: ephemeral: every stack of a class must be ephemeral: `class down` deletes it",
        "class.toml, line 11: the roster has no student 'zoe'",
        "class.toml, line 9: colour is not a setting",
        "students.csv, line 2: allowedCidrs: 0.0.0.0/0 covers the whole internet; allow only your own address",
        "class.toml, line 10: nightlyStop: '6 pm' is not a time of day (HH:MM)",
        "students.csv, line 3: allowedCidrs is not set",
    ]


def test_a_mistake_of_one_student_names_the_lines_of_that_student(tmp_path: Path) -> None:
    settings = "[settings]\ndatabaseStorage = 20\n[students.ben]\ndatabaseStorage = 5\n"

    (mistake,) = mistakes(tmp_path, settings=settings)

    assert mistake == "class.toml, line 10: databaseStorage: 5 is not between 20 and 65,536"


@pytest.mark.parametrize(
    "form", ["students.ben.alarms = 1", "students.ben = { alarms = 1 }", "[students]\nben.alarms = 1"]
)
def test_the_line_of_a_setting_is_found_in_all_forms_of_toml(tmp_path: Path, form: str) -> None:
    lines = ("x\n" * 7 + form).split("\n")
    line = next(n for n, text in enumerate(lines, start=1) if "alarms" in text)

    (mistake,) = mistakes(tmp_path, keys="\n", settings=form)

    assert mistake == f"class.toml, line {line}: alarms: '1' is neither true nor false"


def test_names_that_are_too_long_with_the_project_are_told_with_a_shorter_one(tmp_path: Path) -> None:
    keys = 'project = "introduction-to-data"'

    (mistake,) = mistakes(tmp_path, "maximiliane-anna,m@example.com,,1.2.3.4/32\n", keys=keys)

    assert "'introduction-to-data-maximiliane-anna' is too long" in mistake
    assert mistake.endswith("Write, for example, maximiliane")


def test_a_project_that_aws_does_not_accept_is_told(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, keys='project = "My Project"')

    assert mistake.startswith("class.toml: the project name 'My Project' is not allowed")


def test_a_roster_with_an_impossible_name_is_told(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, keys='roster = "a\\u0000b"')

    assert "cannot read the roster" in mistake
