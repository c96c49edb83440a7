"""The program under the real Pulumi engine, with a file backend and a provider that makes nothing: what a person does.

It needs the `pulumi` command on PATH. What it does not show: whether AWS takes the values.
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

from retailpipe.outputs import StackOutputs
from tests.support.declared import TOP, declare
from tests.support.stacks import variables

PULUMI = shutil.which("pulumi")
UV = [str(Path(os.environ["UV"]).parent)] if "UV" in os.environ else []
"""Where uv is, which the project names as its toolchain: `uv run` says it."""
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(PULUMI is None, reason="the pulumi command is not on PATH"),
]


class Project:
    """A clone of the project, and a backend of a test's own."""

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
        assert PULUMI
        command = [PULUMI, *arguments, "--non-interactive"]
        return subprocess.run(
            command, cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True, timeout=300
        )

    def done(self, *arguments: str, **env: str) -> str:
        run = self.pulumi(*arguments, **env)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def make(self, stack: str = "dev", **config: str) -> None:
        self.done("stack", "init", stack)
        self.done("config", "set", "aws:region", "eu-central-1")
        self.done("config", "set", "allowedCidrs", "203.0.113.7/32")
        for name, value in config.items():
            self.done("config", "set", name, value)

    def resources(self) -> list[str]:
        state = json.loads(self.done("stack", "export"))["deployment"]
        return [each["urn"] for each in state.get("resources", []) if not each["type"].startswith("pulumi:")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a person has it, for which the engine makes an environment by uv."""
    return copied(tmp_path_factory.mktemp("engine") / "a clone")


def copied(folder: Path) -> Path:
    left_out = shutil.ignore_patterns(".*", "__pycache__", "work", "tests", "dist")
    return Path(shutil.copytree(TOP, folder, ignore=left_out))


@pytest.fixture
def project(clone: Path, tmp_path: Path) -> Project:
    return Project(clone, tmp_path)


def test_a_stack_from_beginning_to_end(project: Project) -> None:
    project.make()

    assert "to create" in project.done("preview")
    project.done("up", "--yes")
    made = project.resources()
    outputs = StackOutputs.from_mapping(json.loads(project.done("stack", "output", "--json")))
    project.done("preview", "--expect-no-changes")
    project.done("refresh", "--yes")
    project.done("preview", "--expect-no-changes")
    project.done("config", "set", "logRetentionDays", "30")
    changed = project.done("up", "--yes")
    project.done("destroy", "--yes")

    declared = declare()
    assert {urn.rpartition("::")[2] for urn in made} == {resource.name for resource in declared.resources}
    assert (outputs.stack, outputs.bucket) == ("dev", "retailpipe-dev-123456789012-eu-central-1")
    assert "3 updated" in changed
    assert project.resources() == []


def test_an_up_that_fails_half_way_is_finished_by_the_next(project: Project) -> None:
    project.make()

    failed = project.pulumi("up", "--yes", REHEARSAL_FAIL="aws:rds/instance:Instance")
    there = project.resources()
    project.done("up", "--yes")

    assert failed.returncode != 0
    assert "rehearsed: aws:rds/instance:Instance cannot be made" in failed.stdout + failed.stderr
    assert there
    assert set(there) < set(project.resources())
    project.done("preview", "--expect-no-changes")


def test_a_kept_stack_refuses_to_be_destroyed(project: Project) -> None:
    project.make(ephemeral="false")
    project.done("up", "--yes")

    refused = project.pulumi("destroy", "--yes")

    assert refused.returncode != 0
    assert "protect" in refused.stdout + refused.stderr
    assert {"Bucket", "Instance"} <= {urn.split("::")[2].rpartition(":")[2] for urn in project.resources()}


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("backupDays", "many", "backupDays"),
        ("ephemeral", "perhaps", "ephemeral"),
        ("nightlyStop", "25:00", "nightlyStop"),
    ],
)
def test_a_wrong_setting_is_told_by_name_and_makes_nothing(
    project: Project, setting: str, value: str, told: str
) -> None:
    project.make(**{setting: value})

    refused = project.pulumi("up", "--yes")

    assert refused.returncode != 0
    assert told in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert project.resources() == []


def test_a_missing_setting_is_told_by_name(project: Project) -> None:
    project.done("stack", "init", "dev")

    refused = project.pulumi("preview")

    assert refused.returncode != 0
    assert "allowedCidrs" in refused.stdout + refused.stderr


def test_a_secret_stays_one(project: Project) -> None:
    """The address of a source may carry a token; the database's password is not known to the program at all."""
    project.make()
    project.done("config", "set", "--secret", "sourceUrl", "https://example.com/sales.xlsx?token=s3cr3t")

    said = project.done("up", "--yes") + project.done("stack", "output", "--json")
    state = project.done("stack", "export")

    assert "s3cr3t" not in said + state
    assert "SOURCE_URL" in state
    assert "assw" not in project.done("stack", "output", "--json")


def test_a_wrong_secret_is_not_told(project: Project) -> None:
    project.make()
    project.done("config", "set", "--secret", "sourceUrl", "http://example.com/sales.xlsx?token=s3cr3t")

    refused = project.pulumi("up", "--yes")

    assert "sourceUrl" in refused.stdout + refused.stderr
    assert "s3cr3t" not in refused.stdout + refused.stderr


def test_a_new_project_from_the_template(project: Project, tmp_path: Path) -> None:
    """`pulumi new` asks for what has no default; where nobody answers, the program says what is missing."""
    template, folder = copied(tmp_path / "clean clone"), tmp_path / "my sales"
    # It would download the provider, which is not on PATH for it.
    installed = Path(project.env["PULUMI_HOME"]) / "plugins" / f"resource-aws-v{version('pulumi-aws')}"
    installed.mkdir(parents=True)
    (installed / "pulumi-resource-aws").symlink_to(TOP / "tests" / "support" / "engine" / "pulumi-resource-aws")
    project.done("new", str(template), "--yes", "--name", "sales", "--stack", "first", "--dir", str(folder))
    project.folder = folder
    unsaid = project.pulumi("preview")
    project.done("config", "set", "allowedCidrs", "203.0.113.7/32")
    project.done("up", "--yes")

    outputs = StackOutputs.from_mapping(json.loads(project.done("stack", "output", "--json")))
    assert "allowedCidrs" in unsaid.stdout + unsaid.stderr
    assert (outputs.project, outputs.stack, outputs.region) == ("sales", "first", "eu-central-1")
    assert outputs.parameter == "/sales/first/outputs"


def test_the_commands_on_a_stack_that_the_engine_made(project: Project, moto: str) -> None:
    """Outputs come from the real pulumi command; AWS itself is a stand-in in which there is nothing."""
    project.make()
    project.done("up", "--yes")

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
    config = project.done("config", "get", "allowedCidrs")
    would = retailpipe("cleanup", "--stack", "dev", "--dry-run")
    first, second = (retailpipe("cleanup", "--stack", "dev", "--yes") for _ in range(2))

    points = {point["name"]: point for point in checked["points"]}
    assert points["credentials"]["ok"]
    assert points["bucket"]["detail"] == "there is no s3://retailpipe-dev-123456789012-eu-central-1"
    assert allowed.returncode == 0, allowed.stderr
    assert config.strip() == "203.0.113.7/32,198.51.100.7/32"
    assert "stack dev of project retailpipe" in would.stdout
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout == "nothing is left of stack dev\n"
    assert project.resources() == []
    assert "no stack" in retailpipe("status", "--stack", "other").stderr


def test_two_stacks_of_one_program_by_the_automation_api(project: Project) -> None:
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
