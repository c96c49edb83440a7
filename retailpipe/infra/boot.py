"""The first program of a worker task: it installs the published packages from the bucket and starts retailpipe.

The text of this module is a part of the task definition, and runs in a Python image that has only pip. So it uses only
the standard library, and signs its requests to S3 itself. It takes all arguments from environment variables. Every
file is compared with its SHA-256: that of the manifest is in the variable MANIFEST, those of the wheels are in it.
"""

import hashlib
import hmac
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from datetime import UTC, datetime

ROLES_CREDENTIALS = "http://169.254.170.2"
"""Where a container on AWS asks for the credentials of its role."""


def fetch(url: str, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the address of S3, or one set by ECS
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        return answer.read()


def credentials() -> dict[str, str]:
    """The temporary credentials of the task's role."""
    env = os.environ
    url = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    return json.loads(fetch(url or ROLES_CREDENTIALS + env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"], {}))


def signed(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def headers_for(endpoint: str, path: str, region: str, account: str, login: dict[str, str], now: str) -> dict[str, str]:
    """The headers of a GET request to S3. account: which must own the bucket. now: such as 20270301T120000Z."""
    headers = {
        "host": urllib.parse.urlsplit(endpoint).netloc,
        "x-amz-content-sha256": hashlib.sha256().hexdigest(),
        "x-amz-date": now,
        "x-amz-expected-bucket-owner": account,
        "x-amz-security-token": login["Token"],
    }
    names = ";".join(headers)
    request = ["GET", path, "", *(f"{name}:{value}" for name, value in headers.items()), ""]
    canonical = "\n".join([*request, names, headers["x-amz-content-sha256"]])
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    secret = f"AWS4{login['SecretAccessKey']}".encode()
    for part in scope.split("/"):
        secret = signed(secret, part)
    credential = f"Credential={login['AccessKeyId']}/{scope}"
    signature = signed(secret, text).hex()
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"}


def read(key: str, sha256: str) -> bytes:
    """Read an object of the bucket with AWS's Signature Version 4, and compare its SHA-256."""
    env = os.environ
    region = env["AWS_REGION"]
    suffix = ".cn" if region.startswith("cn-") else ""
    endpoint = env.get("AWS_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com{suffix}"
    path = urllib.parse.quote(f"/{env['BUCKET']}/{key}")
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    content = fetch(endpoint + path, headers_for(endpoint, path, region, env["ACCOUNT"], credentials(), now))
    if hashlib.sha256(content).hexdigest() != sha256:
        sys.exit(f"s3://{env['BUCKET']}/{key} is damaged: its SHA-256 is not {sha256}; publish the packages again")
    return content


def install() -> str:
    """Install the wheels of the manifest; return their folder."""
    manifest = os.environ["MANIFEST"]
    wheels = json.loads(read(f"workers/packages/{manifest}.json", manifest))["wheels"]
    folder = pathlib.Path(tempfile.mkdtemp())
    lines: list[str] = []
    for name, sha256 in wheels.items():
        file = folder / pathlib.PurePosixPath(name).name
        file.write_bytes(read(f"workers/packages/{sha256}/{name}", sha256))
        lines.append(f"{file} --hash=sha256:{sha256}\n")
    (folder / "requirements.txt").write_text("".join(lines))
    site = str(folder / "site")
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "install"]
    options = ["--no-index", "--no-deps", "--require-hashes", "--root-user-action", "ignore", "--target", site]
    subprocess.run([*command, *options, "--requirement", str(folder / "requirements.txt")], check=True)
    return site


def main() -> None:
    signal.alarm(int(os.environ["LIMIT"]))  # ends the task whatever it does: the alarm outlives execve
    path = os.pathsep.join(filter(None, (install(), os.environ.get("PYTHONPATH"))))
    os.execve(  # noqa: S606 - fixed arguments, no shell
        sys.executable, [sys.executable, "-m", "retailpipe.fargate.task"], {**os.environ, "PYTHONPATH": path}
    )


if __name__ == "__main__":
    main()
