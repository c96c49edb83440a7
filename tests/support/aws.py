"""The simulated AWS: a moto server over HTTP, patched where moto lacks something.

Added: some calls of Terraform's provider, the check of a bucket's expected owner, signatures of digests by KMS, and
Lambda without Docker: the code of a function runs in a process. The patches are at the end of this module, and apply to
all servers of the process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto.awslambda.models import LambdaFunction
from moto.budgets.responses import BudgetsResponse
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.responses import BaseResponse
from moto.kms.utils import ECDSAPrivateKey
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.rds.models import DBInstance, DBParameterGroup
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
from moto.sqs.models import Queue
from werkzeug.exceptions import abort
from werkzeug.wrappers import Response


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Run a server with an empty account; yields its URL. All servers of a process have the same account."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # 1,285 images, which took 0.3 s for each empty account
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    _endpoints.append(f"http://{host}:{port}")
    empty_account(_endpoints[-1])
    yield _endpoints[-1]
    _endpoints.pop()
    server.stop()


def empty_account(endpoint: str) -> None:
    """Delete everything in the account of a server."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()


@contextlib.contextmanager
def recorded_calls() -> Iterator[set[tuple[str, str]]]:
    """Record service and operation of each call to the servers of this process."""
    calls: set[tuple[str, str]] = set()
    of_others = BaseResponse._authenticate_and_authorize_normal_action
    of_s3 = S3Response._authenticate_and_authorize_s3_action

    def record(self: Any, *arguments: Any, **options: Any) -> None:
        calls.add((self.boto3_service_name, self._get_action()))
        of_others(self, *arguments, **options)

    def record_s3(self: Any, *arguments: Any, **options: Any) -> None:
        calls.add(("s3", self._get_action()))
        of_s3(self, *arguments, **options)

    BaseResponse._authenticate_and_authorize_normal_action = record
    S3Response._authenticate_and_authorize_s3_action = record_s3
    try:
        yield calls
    finally:
        BaseResponse._authenticate_and_authorize_normal_action = of_others
        S3Response._authenticate_and_authorize_s3_action = of_s3


def _run_lambda(self: Any, event: Any = None) -> tuple[str, bool, str]:
    """Run a function's archive in an isolated Python. An archive without our code returns null."""
    if b"common.py" not in self.code_bytes:
        return "null", False, ""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "function.zip"
        archive.write_bytes(self.code_bytes)
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            **self.environment_vars,
            "AWS_ENDPOINT_URL": _endpoints[-1],
            "AWS_ACCESS_KEY_ID": "role",
            "AWS_SECRET_ACCESS_KEY": "role",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }
        command = [sys.executable, "-I", "-c", _RUNTIME, str(archive), json.dumps(event)]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, cwd=folder)
    *logs, answer = done.stdout.splitlines() or [""]
    self.logs_backend.ensure_log_group(self.logs_group_name)
    self.save_logs("\n".join([*logs, done.stderr]))
    return (done.stderr if done.returncode else answer), bool(done.returncode), done.stdout


_RUNTIME = """
import json, sys, types
sys.path.insert(0, sys.argv[1])
import handler
answer = handler.handle(json.loads(sys.argv[2]), types.SimpleNamespace(aws_request_id="request"))
print(json.dumps(answer))
"""
_endpoints: list[str] = []


@contextlib.contextmanager
def s3_refuses(code: str, status: int, times: int) -> Iterator[None]:
    """Make S3 answer the next `times` calls with an error, such as SlowDown with status 503."""
    _refusals.extend([(code, status)] * times)
    try:
        yield
    finally:
        _refusals.clear()


_refusals: list[tuple[str, int]] = []
_authorize = S3Response._authenticate_and_authorize_s3_action


def _of_expected_owner(self: Any, *arguments: Any, **options: Any) -> None:
    """Deny access if the bucket does not belong to the expected owner in the request, or if `s3_refuses` is active."""
    if _refusals:
        code, status = _refusals.pop()
        body = f"<Error><Code>{code}</Code><Message>set by the test</Message></Error>"
        abort(Response(body, status=status, mimetype="application/xml"))
    expected = self.headers.get("x-amz-expected-bucket-owner")
    if expected not in (None, DEFAULT_ACCOUNT_ID):
        raise S3AccessDeniedError
    _authorize(self, *arguments, **options)


_create_budget = BudgetsResponse.create_budget
_create_instance = DBInstance.__init__
_update_parameters = DBParameterGroup.update_parameters
_attributes = Queue.attributes
_get_application = DomainDispatcherApplication.get_application


# Terraform's provider reads these back, but moto does not store them: tags and subscribers of budgets, and the source
# of parameters.


def _create_tagged(self: Any) -> str:
    answer = _create_budget(self)
    name = self._get_param("Budget")["BudgetName"]
    self.backend.budgets[self._get_param("AccountId")][name].tags = self._get_param("ResourceTags")
    return answer


def _tags(self: Any) -> str:
    account, name = self._get_param("ResourceARN").split(":")[4], self._get_param("ResourceARN").split("/")[-1]
    return json.dumps({"ResourceTags": self.backend.budgets[account][name].tags})


def _subscribers(self: Any) -> str:
    wanted = self._get_param("Notification")
    budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
    for notification in budget.notifications:
        kept = notification.details
        same_type = kept["NotificationType"] == wanted["NotificationType"]
        if same_type and float(kept["Threshold"]) == float(wanted["Threshold"]):
            return json.dumps({"Subscribers": notification.subscribers, "NextToken": None})
    return json.dumps({"Subscribers": [], "NextToken": None})


def _update_as_user(self: Any, parameters: Iterable[dict[str, Any]]) -> None:
    _update_parameters(self, [{**parameter, "Source": "user"} for parameter in parameters])


def _with_own_resource_id(self: Any, *arguments: Any, **options: Any) -> None:
    """Give each database an ID of its own. In moto all have the same, and Terraform reads a database by its ID."""
    _create_instance(self, *arguments, **options)
    self.dbi_resource_id = f"db-{hashlib.sha256(self.db_instance_identifier.encode()).hexdigest()[:26].upper()}"


def _compact_attributes(self: Any) -> dict[str, Any]:
    """Return the redrive policy as SQS does, as JSON without spaces; otherwise Terraform plans a change."""
    attributes = _attributes.fget(self)
    if policy := attributes.get("RedrivePolicy"):
        attributes["RedrivePolicy"] = json.dumps(json.loads(policy), separators=(",", ":"))
    return attributes


def _application_of(self: Any, environ: dict[str, Any]) -> Any:
    """Try again if Python failed to parse source code in two threads at once: its issue 106905."""
    with contextlib.suppress(SystemError):
        return _get_application(self, environ)
    return _get_application(self, environ)


def _sign_digest(self: Any, message: bytes, signing_algorithm: str) -> bytes:
    """Sign as KMS does for the MessageType DIGEST, which moto ignores: the message is a SHA-256 already."""
    assert (len(message), signing_algorithm) == (32, "ECDSA_SHA_256")
    return self.private_key.sign(message, ec.ECDSA(Prehashed(hashes.SHA256())))


DomainDispatcherApplication.get_application = _application_of
S3Response._authenticate_and_authorize_s3_action = _of_expected_owner
ECDSAPrivateKey.sign = _sign_digest
LambdaFunction._invoke_lambda = _run_lambda
BudgetsResponse.create_budget = _create_tagged
BudgetsResponse.list_tags_for_resource = _tags
BudgetsResponse.describe_subscribers_for_notification = _subscribers
DBInstance.__init__ = _with_own_resource_id
DBParameterGroup.update_parameters = _update_as_user
Queue.attributes = property(_compact_attributes)
