"""Publish what the tasks of a run install: wheels in the bucket, each under its SHA-256, and a manifest of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retailpipe.aws.run_files import Bucket
from retailpipe.aws.stack import Stack
from retailpipe.counts import counted
from retailpipe.errors import UsageError, WorkersError
from retailpipe.keys import WORKERS
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import Report
from retailpipe.workers.programs import program, require_same

_PACKAGES = f"{WORKERS}packages/"
_CURRENT = f"{WORKERS}current.json"
_OURS = ("retailpipe", "schema bronze", "the default contract")
"""What the workers must have as this program has it. The other packages are those of uv.lock, also in the tasks."""


@dataclass(frozen=True)
class PublishedPackages(Report):
    """The packages that the next run installs. manifest: its SHA-256. uploaded: how many were not in the bucket yet."""

    manifest: str
    wheels: int
    uploaded: int
    bytes: int

    def __str__(self) -> str:
        done = f"published {counted(self.wheels, 'wheel')} ({self.bytes / 1e6:.1f} MB); {self.uploaded} were new"
        return f"{done}; manifest {self.manifest[:12]}"


def publish(stack: Stack, wheels: Path, *, progress: Progress | None = None) -> PublishedPackages:
    """Upload the wheels of a folder, which the next run installs without an index. What is in the bucket stays.

    Raises UsageError if the folder has no wheel of retailpipe, AwsError.
    """
    progress = progress or NoProgress()
    files = sorted(wheels.glob("*.whl"))
    if not any(file.name.startswith("retailpipe-") for file in files):
        raise UsageError(f"{wheels} has no wheel of retailpipe", hint="Run `retailpipe workers publish` in a checkout.")
    contents = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    text = json.dumps({"wheels": {file.name: sha256 for file, sha256 in contents.items()}}, sort_keys=True).encode()
    manifest = hashlib.sha256(text).hexdigest()
    bucket = Bucket.of(stack)
    existing = set(bucket.keys(_PACKAGES))
    new = {f"{_PACKAGES}{sha256}/{file.name}": file for file, sha256 in contents.items()}
    new = {key: file for key, file in new.items() if key not in existing}
    progress.step("uploading packages", unit="wheels", total=len(new))
    for key, file in new.items():
        bucket.write(key, file.read_bytes())
        progress.advance()
    bucket.write(f"{_PACKAGES}{manifest}.json", text)
    # Last: until then, runs install the packages that were published before.
    published_at = datetime.now(UTC).isoformat(timespec="seconds")
    bucket.write(_CURRENT, {"manifest": manifest, "program": program(), "published_at": published_at})
    return PublishedPackages(manifest, len(files), len(new), sum(file.stat().st_size for file in files))


def current_manifest(bucket: Bucket) -> str:
    """Return the SHA-256 of the manifest that runs install.

    Raises WorkersError if nothing is published, or another version than this program's; AwsError.
    """
    current: dict[str, Any] | None = bucket.read(_CURRENT)
    publish_it = "Publish this version with `retailpipe workers publish`."
    if current is None:
        raise WorkersError(f"no packages are published in s3://{bucket.name}/{WORKERS}", hint=publish_it)
    here = tuple((name, value) for name, value in program() if name in _OURS)
    there = tuple((str(name), str(value)) for name, value in current["program"] if name in _OURS)
    try:
        require_same(here, f"the packages in s3://{bucket.name}/{WORKERS}", there)
    except WorkersError as error:
        error.hint = publish_it
        raise
    return str(current["manifest"])
