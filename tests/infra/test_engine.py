"""Run the program in the real Pulumi engine, as a user does, with a file backend and a provider that creates nothing.

These tests need the `pulumi` command on PATH. They do not show whether AWS accepts the values.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from pulumi import automation

from retailpipe.outputs import ClassroomOutputs, StackOutputs
from tests.infra.test_program import EXPIRES_ON
from tests.support.declared import TOP, declare
from tests.support.stacks import variables

PULUMI = shutil.which("pulumi")
UV = [str(Path(os.environ["UV"]).parent)] if "UV" in os.environ else []
"""The folder of uv, which is the project's toolchain. `uv run` sets the variable UV."""
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(PULUMI is None, reason="the pulumi command is not on PATH"),
]


class Project:
    """A copy of the project, and a separate backend for each test."""

    def __init__(self, clone: Path, folder: Path) -> None:
        self.folder = clone
        for config in clone.glob("Pulumi.*.yaml"):
            config.unlink()
        (folder / "state").mkdir()
        self.env = {
            **{name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV_COMPILE_BYTECODE")},
            "PATH": os.pathsep.join([str(TOP / "tests" / "support" / "engine"), *UV, os.environ["PATH"]]),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "REHEARSAL_PYTHON": sys.executable,
            "NO_COLOR": "1",
        }

    def pulumi(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a pulumi command that may fail."""
        assert PULUMI
        command = [PULUMI, *arguments, "--non-interactive"]
        return subprocess.run(
            command, cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True, timeout=300
        )

    def output_of(self, *arguments: str, **env: str) -> str:
        """Run a pulumi command that must succeed, and return its output."""
        run = self.pulumi(*arguments, **env)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def create_stack(self, stack: str = "dev", **config: str) -> None:
        self.output_of("stack", "init", stack)
        self.output_of("config", "set", "aws:region", "eu-central-1")
        self.output_of("config", "set", "allowedCidrs", "203.0.113.7/32")
        for name, value in config.items():
            self.output_of("config", "set", name, value)

    def resources(self) -> list[str]:
        state = json.loads(self.output_of("stack", "export"))["deployment"]
        return [each["urn"] for each in state.get("resources", []) if not each["type"].startswith("pulumi:")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project as a user has it; the engine creates its virtual environment with uv."""
    return copy_project(tmp_path_factory.mktemp("engine") / "a clone")


def copy_project(folder: Path) -> Path:
    ignored = shutil.ignore_patterns(".*", "__pycache__", "work", "dist")
    copied = Path(shutil.copytree(TOP, folder, ignore=ignored))
    shutil.rmtree(copied / "tests")
    return copied


@pytest.fixture
def project(clone: Path, tmp_path: Path) -> Project:
    return Project(clone, tmp_path)


def test_preview_up_refresh_update_and_destroy_succeed(project: Project) -> None:
    project.create_stack()

    assert "to create" in project.output_of("preview")
    project.output_of("up", "--yes")
    created = project.resources()
    outputs = StackOutputs.from_mapping(json.loads(project.output_of("stack", "output", "--json")))
    project.output_of("preview", "--expect-no-changes")
    project.output_of("refresh", "--yes")
    project.output_of("preview", "--expect-no-changes")
    project.output_of("config", "set", "logRetentionDays", "30")
    update = project.output_of("up", "--yes")
    project.output_of("destroy", "--yes")

    declared = declare()
    assert {urn.rpartition("::")[2] for urn in created} == {resource.name for resource in declared.resources}
    assert (outputs.stack, outputs.bucket) == ("dev", "retailpipe-dev-123456789012-eu-central-1")
    assert "3 updated" in update
    assert project.resources() == []


def test_the_next_up_completes_one_that_failed_half_way(project: Project) -> None:
    project.create_stack(expiresOn=EXPIRES_ON)

    failed = project.pulumi("up", "--yes", REHEARSAL_FAIL="aws:rds/instance:Instance")
    partial = project.resources()
    project.output_of("up", "--yes")

    assert failed.returncode != 0
    assert "rehearsed: aws:rds/instance:Instance cannot be created" in failed.stdout + failed.stderr
    assert partial
    assert set(partial) < set(project.resources())
    assert "pipeline-expiry-delete" in {urn.rpartition("::")[2] for urn in partial}  # before the database
    project.output_of("preview", "--expect-no-changes")


def test_a_kept_stack_cannot_be_destroyed(project: Project) -> None:
    project.create_stack(ephemeral="false")
    project.output_of("up", "--yes")

    refused = project.pulumi("destroy", "--yes")

    assert refused.returncode != 0
    assert "protect" in refused.stdout + refused.stderr
    assert {"Bucket", "Instance"} <= {urn.split("::")[2].rpartition(":")[2] for urn in project.resources()}


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("backupDays", "many", "backupDays"),
        ("ephemeral", "perhaps", "ephemeral"),
        ("nightlyStop", "25:00", "nightlyStop"),
        ("maxMonthlyCost", "10", "more than 10: database 11.68"),
        ("expiresOn", "2026-03-31", "AWS deleted its database"),
    ],
)
def test_an_invalid_setting_is_reported_by_name_and_creates_nothing(
    project: Project, setting: str, value: str, named: str
) -> None:
    project.create_stack(**{setting: value})

    refused = project.pulumi("up", "--yes")

    assert refused.returncode != 0
    assert named in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert project.resources() == []


def test_a_stack_that_has_expired_can_be_destroyed_or_gets_a_later_date(project: Project) -> None:
    project.create_stack(expiresOn=EXPIRES_ON)
    project.output_of("up", "--yes")
    project.output_of("config", "set", "expiresOn", "2026-03-31")

    refused = project.pulumi("up", "--yes")
    kept = project.resources()
    project.output_of("config", "set", "expiresOn", EXPIRES_ON)
    project.output_of("up", "--refresh", "--yes")
    project.output_of("config", "set", "expiresOn", "2026-03-31")
    project.output_of("destroy", "--yes")

    assert refused.returncode != 0
    assert "expiresOn: 2026-03-31 is past" in refused.stdout + refused.stderr
    assert any(urn.endswith("pipeline-database-instance") for urn in kept)
    assert project.resources() == []


def test_a_students_stack_is_deployed_into_the_network_of_a_classroom_stack(project: Project) -> None:
    project.output_of("stack", "init", "classroom")
    project.output_of("config", "set", "aws:region", "eu-central-1")
    project.output_of("config", "set", "classroom", "true")
    project.output_of("up", "--yes")
    classroom = ClassroomOutputs.from_mapping(json.loads(project.output_of("stack", "output", "--json")))
    project.output_of("preview", "--expect-no-changes")
    shared = project.resources()
    project.create_stack("anna", **classroom.settings)
    project.output_of("up", "--yes")
    outputs = StackOutputs.from_mapping(json.loads(project.output_of("stack", "output", "--json")))
    own = project.resources()

    assert outputs.stack == "anna"
    assert any(urn.endswith("classroom-network-vpc") for urn in shared)
    assert not any(":Vpc::" in urn or ":Subnet::" in urn for urn in own)


def test_a_missing_setting_is_reported_by_name(project: Project) -> None:
    project.output_of("stack", "init", "dev")

    refused = project.pulumi("preview")

    assert refused.returncode != 0
    assert "allowedCidrs" in refused.stdout + refused.stderr


def test_a_secret_setting_stays_secret(project: Project) -> None:
    """sourceUrl may contain a token. The program never receives the database's password."""
    project.create_stack()
    project.output_of("config", "set", "--secret", "sourceUrl", "https://example.com/sales.xlsx?token=s3cr3t")

    shown = project.output_of("up", "--yes") + project.output_of("stack", "output", "--json")
    state = project.output_of("stack", "export")

    assert "s3cr3t" not in shown + state
    assert "SOURCE_URL" in state
    assert "assw" not in project.output_of("stack", "output", "--json")


def test_an_invalid_secret_is_not_shown(project: Project) -> None:
    project.create_stack()
    project.output_of("config", "set", "--secret", "sourceUrl", "http://example.com/sales.xlsx?token=s3cr3t")

    refused = project.pulumi("up", "--yes")

    assert "sourceUrl" in refused.stdout + refused.stderr
    assert "s3cr3t" not in refused.stdout + refused.stderr


def test_pulumi_new_creates_a_project_that_can_be_deployed(project: Project, tmp_path: Path) -> None:
    """`pulumi new` asks for settings without a default. If one is left empty, the program reports it as missing."""
    template, folder = copy_project(tmp_path / "clean clone"), tmp_path / "my sales"
    # `pulumi new` ignores providers on PATH and would download this one.
    installed = Path(project.env["PULUMI_HOME"]) / "plugins" / f"resource-aws-v{version('pulumi-aws')}"
    installed.mkdir(parents=True)
    (installed / "pulumi-resource-aws").symlink_to(TOP / "tests" / "support" / "engine" / "pulumi-resource-aws")
    project.output_of("new", str(template), "--yes", "--name", "sales", "--stack", "first", "--dir", str(folder))
    project.folder = folder
    incomplete = project.pulumi("preview")
    project.output_of("config", "set", "allowedCidrs", "203.0.113.7/32")
    project.output_of("up", "--yes")

    outputs = StackOutputs.from_mapping(json.loads(project.output_of("stack", "output", "--json")))
    assert "allowedCidrs" in incomplete.stdout + incomplete.stderr
    assert (outputs.project, outputs.stack, outputs.region) == ("sales", "first", "eu-central-1")
    assert outputs.parameter == "/sales/first/outputs"


def test_retailpipe_commands_find_a_stack_that_the_engine_deployed(project: Project, moto: str) -> None:
    """Outputs come from the real pulumi command. The simulated AWS has an empty account."""
    project.create_stack()
    project.output_of("up", "--yes")

    def retailpipe(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "retailpipe", *arguments],
            cwd=project.folder,
            env={**project.env, **variables(moto), "XDG_DATA_HOME": str(project.folder / "data")},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )

    checked = json.loads(retailpipe("check", "--stack", "dev", "--json").stdout)
    allowed = retailpipe("db", "allow", "--stack", "dev", "--address", "198.51.100.7")
    config = project.output_of("config", "get", "allowedCidrs")
    dry_run = retailpipe("cleanup", "--stack", "dev", "--dry-run")
    first, second = (retailpipe("cleanup", "--stack", "dev", "--yes") for _ in range(2))

    points = {point["name"]: point for point in checked["points"]}
    assert points["credentials"]["ok"]
    assert points["bucket"]["detail"] == "there is no s3://retailpipe-dev-123456789012-eu-central-1"
    assert allowed.returncode == 0, allowed.stderr
    assert config.strip() == "203.0.113.7/32,198.51.100.7/32"
    assert "stack dev of project retailpipe" in dry_run.stdout
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout == "nothing is left of stack dev\n"
    assert project.resources() == []
    assert "no stack" in retailpipe("status", "--stack", "other").stderr


def test_the_automation_api_deploys_two_stacks_of_one_program(project: Project) -> None:
    options = automation.LocalWorkspaceOptions(env_vars=project.env)
    names: list[set[str]] = []
    for name in ("north", "south"):
        stack = automation.create_or_select_stack(name, work_dir=str(project.folder), opts=options)
        stack.set_config("aws:region", automation.ConfigValue("eu-central-1"))
        stack.set_config("allowedCidrs", automation.ConfigValue("203.0.113.7/32"))
        values = {key: output.value for key, output in stack.up().outputs.items()}
        assert StackOutputs.from_mapping(values).stack == name
        names.append({str(value) for key, value in values.items() if key in ("bucket", "parameter", "notify_function")})
        stack.destroy()

    assert not names[0] & names[1]
