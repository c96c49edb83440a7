"""`class plan`, `class up` and `class down` with the real Pulumi engine and a provider that creates nothing.

These tests need the `pulumi` command on PATH. The account of moto is empty: only Pulumi's state has the stacks.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from moto.rds.models import rds_backends

from retailpipe.names import Names
from tests.support.declared import TOP
from tests.support.engine.cloud import Cloud
from tests.support.stacks import ACCOUNT, REGION, HandMade, variables

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(shutil.which("pulumi") is None, reason="the pulumi command is not on PATH"),
]
CLASS = """
version = 1
course = "a course"
region = "eu-central-1"
expires_on = 2099-12-31
max_monthly_cost = 1000
stacks_at_once = 3
"""
INSTANCE = "aws:rds/instance:Instance"
TOKEN = "a-token-of-the-source"
RECORDER = """#!/bin/sh
printf '%s\\n' "$@" >> "$ARGUMENTS"
exec "$PULUMI" "$@"
"""
"""A program pulumi that notes its arguments."""


class Course:
    """A class folder, and the resources that were created for it."""

    def __init__(self, folder: Path, endpoint: str, students: str) -> None:
        self.folder = folder / "a class"
        self.cloud = Cloud(folder / "cloud")
        for each in (self.folder, self.cloud.folder):
            each.mkdir()
        self.folder.joinpath("class.toml").write_text(CLASS)
        self.enroll(students)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))},
            **variables(endpoint),
            "PATH": os.pathsep.join([str(TOP / "tests" / "support" / "engine"), os.environ["PATH"]]),
            "PULUMI_HOME": str(folder / "home"),
            "REHEARSAL_PYTHON": sys.executable,
            "REHEARSAL_CLOUD": str(self.cloud.folder),
        }

    def enroll(self, students: str) -> None:
        lines = [f"{name},{name}@example.com,203.0.113.7/32" for name in students.split()]
        self.folder.joinpath("students.csv").write_text("\n".join(["student,email,allowed_cidrs", *lines]))

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "retailpipe", "class", *arguments],
            cwd=self.folder,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **env)
        output, errors = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def outcomes(self, *arguments: str, **env: str) -> dict[str, str]:
        """Run `class up`, which may fail, and return the outcome of each stack."""
        run = self.run("up", "--json", *arguments, **env)
        assert run.stdout, run.stderr
        return {each["stack"]: each["outcome"] for each in json.loads(run.stdout)["results"]}

    def in_state(self) -> set[tuple[str, str]]:
        """The kind and the ID of each resource in Pulumi's state."""
        found: set[tuple[str, str]] = set()
        for file in (self.folder / "state" / ".pulumi" / "stacks").rglob("*.json"):
            state: Any = json.loads(file.read_text())["checkpoint"]["latest"] or {}
            assert not state.get("pending_operations")
            for each in state.get("resources", []):
                if each["custom"] and not each["type"].startswith("pulumi:"):
                    found.add((quote(each["type"], safe=""), quote(each["id"], safe="")))
        return found

    def check_no_orphans(self) -> None:
        assert self.in_state() == self.cloud.all()


@pytest.fixture
def course(account: HandMade, tmp_path: Path) -> Callable[[str], Course]:
    return lambda students: Course(tmp_path, account.endpoint, students)


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Wait until the process has printed a line that starts with a text to standard error."""
    assert process.stderr
    for text in process.stderr:
        if text.startswith(line):
            return
    raise AssertionError(f"{line!r} was not printed")


def kill_with_engines(process: subprocess.Popen[str]) -> None:
    """Kill a process, and all that it started, as a machine does that loses its power."""
    for each in [first := psutil.Process(process.pid), *first.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.communicate()


def test_up_deploys_what_is_missing_and_down_leaves_nothing(course: Callable[[str], Course]) -> None:
    a_class = course("anna ben")

    assert a_class.outcomes() == {"classroom": "created", "anna": "created", "ben": "created"}
    a_class.enroll("anna ben cleo")
    planned = json.loads(a_class.run("plan", "--json").stdout)
    again = a_class.outcomes()

    assert {row["stack"]: row["action"] for row in planned["rows"]} == {
        "classroom": "unchanged",
        "anna": "unchanged",
        "ben": "unchanged",
        "cleo": "create",
    }
    assert again == {"classroom": "unchanged", "anna": "unchanged", "ben": "unchanged", "cleo": "created"}
    a_class.check_no_orphans()
    assert (a_class.folder / "passphrase").stat().st_mode & 0o777 == 0o600
    assert a_class.run("down", "--only", "cleo", "--yes").returncode == 0
    assert "cleo" not in str(a_class.cloud.all())
    down = a_class.run("down", "--yes")
    assert down.returncode == 0, down.stdout + down.stderr
    assert a_class.cloud.all() == set()


def test_the_failure_of_one_stack_stops_no_other(course: Callable[[str], Course]) -> None:
    a_class = course("anna ben cleo")

    failed = a_class.run("up", REHEARSAL_FAIL=f"ben={INSTANCE}")

    assert failed.returncode == 1
    assert "ben: " in failed.stdout
    assert f"rehearsed: {INSTANCE} cannot be created" in failed.stdout
    assert str(a_class.folder / "stacks" / "logs" / "ben.log") in failed.stdout
    assert a_class.outcomes() == {
        "classroom": "unchanged",
        "anna": "unchanged",
        "ben": "changed",
        "cleo": "unchanged",
    }
    a_class.check_no_orphans()


def test_ctrl_c_ends_the_stacks_in_work_and_the_next_up_continues(course: Callable[[str], Course]) -> None:
    a_class = course("anna ben cleo dora emil")
    assert set(a_class.outcomes("--only", "anna").values()) == {"created"}

    process = a_class.start("up", "--jobs", "2")
    wait_for(process, "ben: started")
    while not any("ben" in name for _, name in a_class.cloud.all()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)

    assert process.returncode == 130
    assert "interrupted" in output
    assert "not started" in output
    assert set(a_class.outcomes().values()) <= {"created", "changed", "unchanged"}
    a_class.check_no_orphans()


def test_a_stack_that_hangs_is_killed_by_the_second_ctrl_c_and_the_next_up_completes_it(
    course: Callable[[str], Course],
) -> None:
    a_class = course("anna ben cleo")
    assert set(a_class.outcomes("--only", "anna").values()) == {"created"}

    process = a_class.start("up", REHEARSAL_HANG=f"ben={INSTANCE}")
    wait_for(process, "cleo: created")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=5)  # the engine waits for the resource that it has begun
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert a_class.outcomes() == {
        "classroom": "unchanged",
        "anna": "unchanged",
        "ben": "changed",
        "cleo": "unchanged",
    }
    a_class.check_no_orphans()


def test_state_in_a_bucket_is_unlocked_after_a_kill(course: Callable[[str], Course], account: HandMade) -> None:
    a_class = course("anna")
    init = a_class.run("init", ".", "--state")
    assert init.returncode == 0, init.stderr
    # The bucket's policy allows only TLS, which the simulated AWS does not have.
    account.client("s3").delete_bucket_policy(Bucket=f"retailpipe--state-{ACCOUNT}-{REGION}")

    process = a_class.start("up")
    while not any("anna" in name for _, name in a_class.cloud.all()):
        assert process.poll() is None
        time.sleep(0.05)
    kill_with_engines(process)

    assert a_class.outcomes() == {"classroom": "unchanged", "anna": "changed"}
    down = a_class.run("down", "--yes")
    assert a_class.cloud.all() == set()
    assert "anna" in down.stdout


def test_a_secret_setting_is_encrypted_and_never_an_argument(course: Callable[[str], Course], tmp_path: Path) -> None:
    a_class = course("anna")
    with a_class.folder.joinpath("class.toml").open("a") as file:
        file.write(f'[settings]\nsourceUrl = "https://example.com/shop.xlsx?token={TOKEN}"\n')
    recorder, arguments = tmp_path / "bin" / "pulumi", tmp_path / "arguments"
    recorder.parent.mkdir()
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)

    up = a_class.run(
        "up",
        PATH=os.pathsep.join([str(recorder.parent), a_class.env["PATH"]]),
        PULUMI=str(shutil.which("pulumi")),
        ARGUMENTS=str(arguments),
    )

    assert up.returncode == 0, up.stdout + up.stderr
    assert "sourceUrl" in arguments.read_text()
    written = [arguments, *(file for file in (a_class.folder / "stacks").rglob("*") if file.is_file())]
    assert [file for file in written if TOKEN in file.read_text()] == []
    assert "secure:" in (a_class.folder / "stacks" / "Pulumi.anna.yaml").read_text()


def test_a_database_that_is_being_deleted_is_waited_for_and_created_again(
    course: Callable[[str], Course], account: HandMade
) -> None:
    a_class = course("anna ben")
    assert set(a_class.outcomes().values()) == {"created"}
    identifier = Names("retailpipe", "anna").of("database")
    account.client("rds").create_db_instance(
        DBInstanceIdentifier=identifier,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="retail",
        ManageMasterUserPassword=True,
    )
    rds_backends[ACCOUNT][REGION].databases[identifier].status = "deleting"

    early = a_class.run("up")
    account.client("rds").delete_db_instance(DBInstanceIdentifier=identifier, SkipFinalSnapshot=True)
    a_class.cloud.delete(INSTANCE, identifier)

    assert early.returncode == 1
    assert f"anna: the database {identifier} is being deleted" in early.stdout
    assert "Run the command again in some minutes" in early.stdout
    assert a_class.outcomes() == {"classroom": "unchanged", "anna": "changed", "ben": "unchanged"}
    a_class.check_no_orphans()


@pytest.mark.nightly
def test_thirty_students_four_at_once_take_less_than_four_gigabytes(course: Callable[[str], Course]) -> None:
    a_class = course(" ".join(f"s{n}" for n in range(30)))
    process = a_class.start("up", "--jobs", "4", REHEARSAL_SPEED="60")
    output = threading.Thread(target=process.communicate)
    output.start()
    most = 0

    while output.is_alive():
        most = max(most, memory_of(process.pid))
        output.join(0.5)

    assert process.returncode == 0
    a_class.check_no_orphans()
    assert set(a_class.outcomes().values()) == {"unchanged"}
    print(f"the most memory: {most / 1e9:.2f} GB")
    assert most < 4e9


def memory_of(pid: int) -> int:
    """The memory of a process and of all that it started, in bytes; shared pages are counted once."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for each in [first := psutil.Process(pid), *first.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += each.memory_full_info().pss
    return total


def test_two_calls_at_once_are_kept_apart(course: Callable[[str], Course]) -> None:
    a_class = course("anna")

    process = a_class.start("up")
    wait_for(process, "classroom: started")
    second = a_class.run("up")
    process.communicate(timeout=300)

    assert process.returncode == 0
    assert second.returncode == 2
    assert "is running for" in second.stderr


@pytest.fixture(params=[pytest.param(3, id="3 kills"), pytest.param(10, id="10 kills", marks=pytest.mark.nightly)])
def kills(request: pytest.FixtureRequest) -> Iterator[int]:
    return request.param


def test_after_a_kill_at_any_moment_the_next_up_completes_every_stack(
    course: Callable[[str], Course], kills: int
) -> None:
    rng = random.Random(kills)
    a_class = course("anna ben cleo dora emil finn")
    assert set(a_class.outcomes("--only", "anna").values()) == {"created"}

    for _ in range(kills):
        process = a_class.start("up")
        wait_for(process, "ben: started")
        time.sleep(rng.uniform(0, 12))  # the moment is the input of the test
        if rng.random() < 0.5:
            kill_with_engines(process)
        else:
            process.kill()  # the engines go on
            process.communicate()

    assert set(a_class.outcomes().values()) <= {"created", "changed", "unchanged"}
    a_class.check_no_orphans()
