"""boot.py: the program in the task definition. It signs its requests as botocore does, and an alarm ends it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from retailpipe.infra import boot

LOGIN = {"AccessKeyId": "key", "SecretAccessKey": "secret/+", "Token": "token=="}


@pytest.mark.parametrize("key", ["workers/packages/0a.json", "workers/packages/0a/a-1.0+x-py3-none-any.whl"])
def test_a_request_is_signed_as_botocore_signs_it(key: str) -> None:
    endpoint, path = "https://s3.eu-central-1.amazonaws.com", boot.urllib.parse.quote(f"/bucket/{key}")

    headers = boot.headers_for(endpoint, path, "eu-central-1", "123456789012", LOGIN, "20270301T120000Z")

    signer = S3SigV4Auth(Credentials("key", "secret/+", "token=="), "s3", "eu-central-1")
    unsigned = {name: value for name, value in headers.items() if name not in ("authorization", "host")}
    request = AWSRequest("GET", endpoint + path, headers=unsigned)
    request.context["timestamp"] = "20270301T120000Z"
    request.context["payload_signing_enabled"] = False
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    assert headers["authorization"].endswith(f"Signature={expected}")


def test_the_limit_ends_a_task_whatever_it_does(tmp_path: Path) -> None:
    """Here it waits for an answer that never comes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
            **dict.fromkeys(("BUCKET", "ACCOUNT", "AWS_REGION", "MANIFEST"), "x"),
        }
        done = subprocess.run([sys.executable, boot.__file__], env={**variables, "LIMIT": "1"}, cwd=tmp_path)

    assert done.returncode == -signal.SIGALRM
