"""Measure how long it takes to grade: one student's environment on this machine, and the submissions of a class.

Run it with `.venv/bin/python benchmarks/grading.py`; the options are the number of rows and of students.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import retailpipe
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.grading.grader import grade
from retailpipe.classroom.grading.submission import submit, write
from retailpipe.classroom.workbooks import write_workbooks
from retailpipe.environment import Environment
from retailpipe.local.server import EmbeddedServer

CLASS = """\
version = 1
course = "Benchmark"
region = "eu-central-1"
expires_on = 2099-12-31
max_monthly_cost = 300
settings = {{allowedCidrs = "203.0.113.0/24"}}
workbooks = {{seed = 1, rows = {rows}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000, help="how many rows each workbook has")
    parser.add_argument("--students", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o755)  # a server that root starts must reach its data
        names = [f"student-{number}" for number in range(1, arguments.students + 1)]
        (home / "class.toml").write_text(CLASS.format(rows=arguments.rows))
        lines = [f"{each},{each}@example.com" for each in names]
        (home / "students.csv").write_text("\n".join(["student,email", *lines]))
        classroom = Classroom.read(home)
        started = time.perf_counter()
        write_workbooks(classroom, home / "workbooks")
        print(f"workbooks of {arguments.students} students, {arguments.rows:,} rows each: {_since(started)}")
        environment = Environment.embedded(home / "local" / names[0])
        retailpipe.run(environment, home / "workbooks" / f"{names[0]}.xlsx")
        server = EmbeddedServer(environment.folder)
        server.stop()
        started = time.perf_counter()
        (found,) = grade(classroom, local=home / "local", only=names[:1]).students
        print(f"one local student, {found.score} of {found.out_of}, with the start of the server: {_since(started)}")
        (home / "submissions").mkdir()
        evidence = submit(environment, home / "submissions" / f"{names[0]}.json")
        server.destroy()
        # The others have the first student's workbook: the slowest case, because each is compared with all the others.
        for each in names[1:]:
            write(replace(evidence, student=each), home / "submissions" / f"{each}.json")
        started = time.perf_counter()
        report = grade(classroom, submissions=home / "submissions")
        print(f"{len(report.students)} submissions, all but one of them wrong: {_since(started)}")


def _since(started: float) -> str:
    return f"{time.perf_counter() - started:.1f} s"


if __name__ == "__main__":
    main()
