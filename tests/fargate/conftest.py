"""Fixtures of runs on workers: Fargate on this machine, and a stack whose packages are published."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling import build

from retailpipe import Environment
from retailpipe.aws.stack import Stack
from retailpipe.fargate.packages import publish
from tests.support.declared import TOP
from tests.support.fargate import Fargate, fargate
from tests.support.stacks import HandMade
from tests.support.tls_server import TlsServer


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this checkout. The processes find its dependencies where the tests find them."""
    folder = tmp_path_factory.mktemp("wheels")
    before = Path.cwd()
    os.chdir(TOP)  # the build backend builds the current folder
    try:
        build.build_wheel(str(folder))
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def cloud(on_aws: Environment, made: HandMade, tls: TlsServer, tmp_path: Path) -> Iterator[Fargate]:
    with fargate(made, tls.ca, tmp_path / "tasks") as cloud:
        yield cloud


@pytest.fixture
def environment(cloud: Fargate) -> Iterator[Environment]:
    """The environment of a stack with workers."""
    environment = Environment.from_stack("dev")
    assert environment.stack
    yield environment
    environment.stack.aws.close()


@pytest.fixture
def stack(environment: Environment) -> Stack:
    assert environment.stack
    return environment.stack


@pytest.fixture
def published(stack: Stack, wheels: Path) -> None:
    """The packages of the stack are published."""
    publish(stack, wheels)
