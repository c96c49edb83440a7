"""The packages of workers: which ones, and how they are published."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retailpipe import UsageError, WorkersError
from retailpipe.aws.run_files import Bucket
from retailpipe.aws.stack import Stack
from retailpipe.fargate.locked import collect_wheels, locked_requirements
from retailpipe.fargate.packages import current_manifest, publish
from tests.support.declared import TOP
from tests.support.programs import uv


def test_only_new_wheels_are_uploaded(stack: Stack, wheels: Path) -> None:
    first = publish(stack, wheels)
    second = publish(stack, wheels)

    assert (first.wheels, first.uploaded, second.uploaded) == (1, 1, 0)
    assert first.manifest == second.manifest == current_manifest(Bucket.of(stack))
    assert str(second).startswith("published 1 wheel (")


def test_a_folder_without_our_wheel_is_refused(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "other-1.0-py3-none-any.whl").write_bytes(b"")

    with pytest.raises(UsageError, match="has no wheel of retailpipe"):
        publish(stack, tmp_path)

    assert Bucket.of(stack).keys("workers/") == []


def test_packages_of_another_version_are_refused(stack: Stack, wheels: Path) -> None:
    publish(stack, wheels)
    bucket = Bucket.of(stack)
    current = bucket.read("workers/current.json") or {}
    current["program"] = [[name, "0" if name == "schema bronze" else value] for name, value in current["program"]]
    bucket.write("workers/current.json", current)

    with pytest.raises(WorkersError, match=r"s3://.*: schema bronze is 0 there") as caught:
        current_manifest(bucket)

    assert "`retailpipe workers publish`" in caught.value.hint


def test_workers_install_what_the_lock_file_names_and_loads_need() -> None:
    text = locked_requirements(uv(), TOP)

    names = set(re.findall(r"^([a-z0-9-]+)==\S+ \\$", text, re.MULTILINE))
    assert {"pyarrow", "distributed", "boto3", "adbc-driver-postgresql", "python-calamine", "isal"} <= names
    assert names.isdisjoint({"dbt-core", "typer", "rich", "cryptography", "pip", "retailpipe", "importlib-metadata"})
    assert ";" not in text
    assert all("--hash=sha256:" in each for each in re.split(r"\n(?=\S)", text.strip()))


def test_without_a_lock_file_there_is_nothing_to_collect(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no uv\.lock"):
        collect_wheels(tmp_path, tmp_path)
