"""Run the terraform command with its AWS provider from a mirror on this machine. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.lacking import skip

PROVIDER = "hashicorp/aws"
MIRRORS = ("~/.terraform.d/plugins", "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins")
"""Folders in which Terraform itself looks for providers. TF_PLUGIN_MIRROR comes before them, /opt/* after them."""


def mirror() -> Path | None:
    """The first folder that is a mirror with the provider; None if there is no such folder."""
    places = [Path(text) for text in (os.environ.get("TF_PLUGIN_MIRROR"),) if text]
    places += [Path(text).expanduser() for text in MIRRORS]
    if (opt := Path("/opt")).is_dir():
        places += sorted(opt.iterdir())
    return next((place for place in places if (place / "registry.terraform.io" / PROVIDER).is_dir()), None)


def skip_unless_installed() -> None:
    """Skip a test if Terraform or its provider is missing."""
    if not shutil.which("terraform"):
        skip("the terraform command is not on PATH")
    if not mirror():
        skip(f"no mirror contains Terraform's provider {PROVIDER}; set TF_PLUGIN_MIRROR to a folder that does")


class Terraform:
    """A Terraform program in a folder.

    endpoint: the URL of the simulated AWS. It is not needed for validate and plan, which send no requests.
    """

    def __init__(self, folder: Path, program: Mapping[str, Any], *, region: str, endpoint: str = "") -> None:
        self.folder = folder
        provider = {
            "region": region,
            "access_key": "test",
            "secret_key": "test",
            "s3_use_path_style": True,
            "skip_credentials_validation": True,
            "skip_metadata_api_check": "true",
            "skip_requesting_account_id": not endpoint,
            "max_retries": 2,
        }
        document = {
            "terraform": {"required_providers": {"aws": {"source": PROVIDER}}},
            "provider": {"aws": provider},
            **program,
        }
        (folder / "main.tf.json").write_text(json.dumps(document, indent=1))
        (folder / "terraform.rc").write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror()}"\n  }}\n}}\n'
        )
        self._env = {
            **os.environ,
            "TF_CLI_CONFIG_FILE": str(folder / "terraform.rc"),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }
        if endpoint:
            self._env["AWS_ENDPOINT_URL"] = endpoint
        self.run("init")

    def run(self, *arguments: str) -> str:
        """Run a command and return its output. Raises AssertionError with all output if the command fails."""
        done = self.call(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def call(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        no_prompt = ["-input=false"] if command in ("init", "plan", "apply", "destroy") else []
        no_color = ["-no-color"] if command not in ("show", "output", "state", "validate") else []
        return subprocess.run(
            ["terraform", command, *no_prompt, *no_color, *arguments],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def json(self, *arguments: str) -> Any:
        """Run a command, which may fail, and return its JSON output."""
        return json.loads(self.call(*arguments).stdout)
