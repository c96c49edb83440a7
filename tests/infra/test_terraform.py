"""Check the program with Terraform's real AWS provider: validate, plan, and run checkov on the plan.

`make rehearse` runs them, because a plan takes a quarter of a minute.
These tests need the terraform command and a mirror of its provider on this machine. They create nothing;
test_rehearsal.py does.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.infra.test_classroom import CLASSROOM
from tests.infra.test_program import EVERYTHING, KEPT, WITH_EXISTING_VPC, WITH_WORKERS, WITHOUT_ROLES
from tests.support.declared import declare
from tests.support.lacking import skip
from tests.support.terraform.command import Terraform, skip_unless_installed
from tests.support.terraform.rewrite import rewrite

pytestmark = pytest.mark.rehearse

CHECKOV = "checkov==3.3.30"
"""Installed in a separate environment, because its requirements conflict with those of this project."""

ONLY_EPHEMERAL = {("database", "CKV_AWS_133"), ("database", "CKV_AWS_293")}
"""Accepted findings that a kept stack does not have."""
PLANS = {
    "everything": EVERYTHING,
    "kept": {**EVERYTHING, **KEPT},
    "without roles": WITHOUT_ROLES,
    "in a network": WITH_EXISTING_VPC,
    "workers": {**EVERYTHING, **WITH_WORKERS},
    "classroom": CLASSROOM,
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Terraform]:
    """Returns a function that plans the program with the settings of that name; each plan is made once."""
    skip_unless_installed()

    @functools.cache
    def plan(name: str) -> Terraform:
        folder = tmp_path_factory.mktemp("terraform")
        terraform = Terraform(folder, rewrite(declare(PLANS[name]), folder), region="eu-central-1")
        assert terraform.json("validate", "-json")["diagnostics"] == []
        terraform.run("plan", "-out=plan.bin")
        return terraform

    return plan


@pytest.mark.parametrize("name", PLANS)
def test_the_plan_creates_every_resource(plan: Callable[[str], Terraform], name: str) -> None:
    changes = plan(name).json("show", "-json", "plan.bin")["resource_changes"]

    assert len(changes) == len(declare(PLANS[name]).custom)
    assert {tuple(change["change"]["actions"]) for change in changes} == {("create",)}


@pytest.mark.parametrize(
    ("name", "resolved"), [("everything", set()), ("kept", ONLY_EPHEMERAL), ("workers", set()), ("classroom", set())]
)
def test_checkov_findings_are_exactly_the_accepted_ones(
    plan: Callable[[str], Terraform], name: str, resolved: set[tuple[str, str]]
) -> None:
    text = files("retailpipe.infra").joinpath("accepted.toml").read_text("utf-8")
    accepted = {(component, check) for component, checks in tomllib.loads(text).items() for check in checks}

    found = {(finding["resource"].split("-")[1], finding["check_id"]) for finding in checkov(plan(name))}

    components = {resource.name.split("-")[1] for resource in declare(PLANS[name]).custom}
    assert found == {each for each in accepted if each[0] in components} - resolved


def checkov(terraform: Terraform) -> list[dict[str, Any]]:
    """The failed checks of checkov for a plan."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        skip("uv, which runs checkov, is not on PATH")
    plan = terraform.folder / "plan.json"
    plan.write_text(terraform.run("show", "-json", "plan.bin"))
    command = [uv, "tool", "run", "--from", CHECKOV, "checkov", "--file", str(plan), "--output", "json"]
    run = subprocess.run(
        [*command, "--skip-download", "--quiet", "--compact"],
        env={name: value for name, value in os.environ.items() if name != "UV_COMPILE_BYTECODE"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.stdout.startswith(("{", "[")), run.stdout + run.stderr
    report = json.loads(run.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 10
    return report["results"]["failed_checks"]


def test_references_and_dependencies_are_written_for_terraform(tmp_path: Path) -> None:
    """This test needs no provider: it only compares the generated text."""
    program = rewrite(declare(EVERYTHING), tmp_path)["resource"]

    instance = program["aws_db_instance"]["pipeline-database-instance"]
    assert instance["vpc_security_group_ids"] == ["${aws_security_group.pipeline-database-access.id}"]
    assert "aws_cloudwatch_log_group.pipeline-database-log" in instance["depends_on"]
    assert program["aws_budgets_budget"]["pipeline-budget-month"]["cost_filter"][0]["values"] == [
        "user:Pipeline$retailpipe-dev"
    ]
