"""The dbt project used directly with the dbt command, with the connection in environment variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import parse_dsn

from retailpipe import Environment, ingest
from retailpipe.models import project_folder
from tests.conftest import Workbook
from tests.support.nightly import most_nightly
from tests.support.servers import password_of


@pytest.fixture
def dbt(tmp_path: Path, environment: Environment, database_url: str, make_workbook: Workbook) -> Any:
    """A function that runs dbt in a copy of the project, on a database that has only bronze."""
    ingest(environment, make_workbook())
    project = tmp_path / "dbt_project"
    shutil.copytree(project_folder(), project, ignore=shutil.ignore_patterns("target", "logs"))
    parts = parse_dsn(database_url)
    password = password_of(Path(str(parts["passfile"])), str(parts["user"]))
    settings = {
        "AWS_RDS_HOST": str(parts["host"]),
        "AWS_RDS_PORT": str(parts["port"]),
        "AWS_RDS_DATABASE": str(parts["dbname"]),
        "AWS_RDS_USER": str(parts["user"]),
        "AWS_RDS_PASSWORD": password,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }

    def call(*arguments: str, **changed: str | None) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in {**os.environ, **settings, **changed}.items() if v is not None}
        command = [str(Path(sys.executable).parent / "dbt"), "--no-use-colors", *arguments]
        return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=300, check=False)

    return call


@pytest.mark.parametrize("commands", most_nightly([["build"], ["debug", "run", "test"]], {0}))
def test_commands_work_on_a_new_database(dbt: Any, commands: list[str]) -> None:
    for command in commands:
        done = dbt(command, "--target", "local")

        assert done.returncode == 0, done.stdout
        assert "warning" not in done.stdout.lower().replace("warn=0", "")


@pytest.mark.nightly
def test_the_aws_target_reads_the_same_variables(dbt: Any) -> None:
    # The target requires TLS by default, which the embedded server does not support.
    assert dbt("debug", "--target", "aws", PGSSLMODE="prefer").returncode == 0

    refused = dbt("debug", "--target", "aws")
    assert refused.returncode == 1
    assert "does not support SSL" in refused.stdout


def test_the_aws_target_names_a_missing_variable(dbt: Any) -> None:
    done = dbt("debug", "--target", "aws", AWS_RDS_HOST=None)

    assert done.returncode != 0
    assert "AWS_RDS_HOST" in done.stdout
