"""The roster: the files that spreadsheets write, and all mistakes at once with their lines."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

import pytest

from retailpipe import ClassError
from retailpipe.classroom.roster import Student, accepted_name, read_roster

TEXT = "student,email,iam_user,allowed_cidrs\nanna,anna@example.com,anna-iam,203.0.113.7/32\n"


def read(tmp_path: Path, content: str | bytes) -> tuple[Sequence[Student], Sequence[str]]:
    """Read a roster; the mistakes are returned without the path of the file."""
    file = tmp_path / "students.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    students, mistakes = read_roster(file, "retailpipe")
    return students, [mistake.removeprefix(f"{file}, ") for mistake in mistakes]


def refused(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(ClassError) as caught:
        read(tmp_path, content)
    return str(caught.value).removeprefix(f"{tmp_path / 'students.csv'}")


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace(",", ";").encode("utf-8-sig"),
        TEXT.replace(",", "\t").encode(),
        b"sep=;\r\n" + TEXT.replace(",", ";").encode(),
        codecs.BOM_UTF8 + b'"sep=,"\r\n' + TEXT.encode(),
        TEXT.replace(",", "\t").encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.replace("anna,", '"anna",').encode(),
        f"\n , \n{TEXT}\n\n,,,\n".encode(),
        f"\n;;\n{TEXT.replace(',', ';')}".encode(),
        TEXT.replace("student", " Student ").replace("iam_user", "IAM_User").encode(),
        TEXT.rstrip("\n").encode(),
    ],
)
def test_all_forms_of_spreadsheets_are_read(tmp_path: Path, content: bytes) -> None:
    (student,), mistakes = read(tmp_path, content)

    assert mistakes == []
    assert (student.name, student.email, student.iam_user) == ("anna", "anna@example.com", "anna-iam")
    assert student.allowed_cidrs == ("203.0.113.7/32",)


def test_windows_1252_is_read(tmp_path: Path) -> None:
    (student,), mistakes = read(tmp_path, "student;email;city\nanna;a@example.com;Köln\n".encode("cp1252"))

    assert mistakes == []
    assert student.others == {"city": "Köln"}


def test_a_delimiter_inside_the_titles_of_other_columns_is_not_the_delimiter(tmp_path: Path) -> None:
    (student,), mistakes = read(tmp_path, 'student;email;"group, room, and, seat"\nanna;a@example.com;"3, 12"\n')

    assert mistakes == []
    assert student.others == {"group, room, and, seat": "3, 12"}


def test_other_columns_are_kept_by_their_titles(tmp_path: Path) -> None:
    (student,), _ = read(tmp_path, "Matriculation,student,email,Group,\n 007 ,anna,a@example.com, B ,x\n")

    assert student.others == {"Matriculation": "007", "Group": "B"}


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    content = 'sep=,\n\nstudent,email,note\nanna,a@example.com,"two\nlines"\n\nben,b@example.com,\n'

    (anna, ben), mistakes = read(tmp_path, content)

    assert mistakes == []
    assert (anna.line, ben.line) == (4, 7)


def test_several_networks_may_be_separated_by_anything(tmp_path: Path) -> None:
    (student,), mistakes = read(
        tmp_path, 'student,email,allowed_cidrs\nanna,a@example.com,"1.2.3.4/32; 5.6.7.0/24 ,8.8.8.8/32"\n'
    )

    assert mistakes == []
    assert student.allowed_cidrs == ("1.2.3.4/32", "5.6.7.0/24", "8.8.8.8/32")


def test_all_mistakes_are_listed_with_their_lines(tmp_path: Path) -> None:
    content = (
        "email,student,iam_user\n"
        "a@example.com,Anna Müller,\n"
        "b.example.com,ben,b\n"
        ",,\n"
        "c@example.com,ben,b\n"
        "d@example.com\n"
        ",dora,not a user\n"
        "e@example.com,classroom,\n"
        "f@example.com,finn,x,1.2.3.4/32\n"
    )

    students, mistakes = read(tmp_path, content)

    assert len(students) == 7
    assert mistakes == [
        "line 2: the name 'Anna Müller' is not allowed: names of buckets and databases may contain only lower-case "
        "letters, digits and single hyphens, and must start with a letter. Write, for example, anna-mueller",
        "line 3: 'b.example.com' is not an email address",
        "line 5: line 3 already has a student 'ben'",
        "line 5: line 3 already has the IAM user 'b'",
        "line 6: the student's name is missing",
        "line 7: the email is missing",
        "line 7: 'not a user' is not the name of an IAM user",
        "line 8: no student can have the name classroom: it is the name of the stack that the class shares",
        "line 9: the line has 4 values, but the header has 3 columns; write a value that contains the separator in "
        "quotation marks",
    ]


def test_names_that_differ_in_case_are_duplicates(tmp_path: Path) -> None:
    _, mistakes = read(tmp_path, "student,email\nanna,a@example.com\nAnna,b@example.com\n")

    assert "Write, for example, anna-2" in mistakes[0]
    assert mistakes[1] == "line 3: line 2 already has a student 'Anna'"


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("Anna Müller", "anna-mueller"),
        ("Søren Łukasz-Đorđe", "soren-lukasz-dorde"),
        ("O'Brien, José", "o-brien-jose"),
        ("anna--b", "anna-b"),
        ("2nd student", "nd-student"),
        ("王芳", "student"),
        ("Classroom", "classroom-2"),
        ("Wolfeschlegelsteinhausenbergerdorff", "wolfeschlegelsteinhau"),
        ("ben", "ben-2"),
    ],
)
def test_the_name_that_a_student_would_get_is_accepted_by_aws(name: str, accepted: str) -> None:
    from retailpipe.names import Names

    assert accepted_name(name, "retailpipe", {"ben"}) == accepted
    Names("retailpipe", accepted)


def test_each_student_is_offered_another_name(tmp_path: Path) -> None:
    _, mistakes = read(tmp_path, "student,email\n王芳,a@example.com\n李娜,b@example.com\nstudent-2,c@example.com\n")

    offered = [mistake.rpartition(" ")[2] for mistake in mistakes]
    assert offered == ["student", "student-3"]


@pytest.mark.parametrize(
    "email", ["anna", "@example.com", "a@b", "a b@example.com", "a\x1b[2J@example.com", "a@" + "x" * 300 + ".com"]
)
def test_what_is_not_an_email_address_is_a_mistake(tmp_path: Path, email: str) -> None:
    _, mistakes = read(tmp_path, f"student,email\nanna,{email}\n")

    (mistake,) = mistakes
    assert mistake.endswith("is not an email address")
    assert mistake.isprintable()
    assert len(mistake) < 120


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ", line 1: the header has no column student and no column email; it has nothing"),
        ("name,email\nanna,a@example.com\n", ", line 1: the header has no column student; it has name, email"),
        ("student\nanna\n", ", line 1: the header has no column email; it has student"),
        ("student,email,Student\n", ", line 1: the header has the column student twice"),
        (b"student,email\nan\0na,a@example.com\n", " is not a CSV file"),
        (TEXT.encode("utf-16-le"), " is not a CSV file"),
        ('student,email\nanna,a@example.com\nben,"b@example.com\ncara,c@\n', ", line 3: unexpected end of data"),
        ('student,email\nanna,"a"@example.com\n', ", line 2: ',' expected after '\"'"),
        (b"student,email\n" + b"x" * 1_000_000, " has more than 1,000,000 bytes, so it is not a roster"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_roster_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert refused(tmp_path, content) == message


def test_a_roster_without_students_is_a_mistake(tmp_path: Path) -> None:
    students, mistakes = read(tmp_path, "student,email\n\n,\n")

    assert students == []
    assert mistakes == [f"{tmp_path / 'students.csv'}: the roster has no student below its header"]


def test_a_missing_roster_is_named_with_the_key_of_the_class_file(tmp_path: Path) -> None:
    with pytest.raises(ClassError, match=r"cannot read the roster .*absent\.csv: No such file") as caught:
        read_roster(tmp_path / "absent.csv", "retailpipe")

    assert "class.toml" in caught.value.hint


def test_the_largest_roster_is_read(tmp_path: Path) -> None:
    lines = "".join(f"s{n},s{n}@example.com\n" for n in range(38_000))

    students, mistakes = read(tmp_path, "student,email\n" + lines)

    assert (len(students), mistakes) == (38_000, [])
