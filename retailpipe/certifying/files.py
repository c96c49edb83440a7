"""The files of certificates in an environment's folder: the certificates, and the keys that verify them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from retailpipe.keys import INPUT

_FOLDER = "certificates"
_LONGEST_NAME = 150


def certificate_file(folder: Path, source: str, load_id: int) -> Path:
    """The file of the certificate of a load. folder: of the environment. source: the workbook's key."""
    name = quote(source.removeprefix(INPUT), safe=" ")[:_LONGEST_NAME]
    return folder / _FOLDER / f"{name}.load-{load_id}.json"


def private_key_file(folder: Path) -> Path:
    """The file of the environment's own key."""
    return folder / _FOLDER / "private_key.pem"


def public_key_file(folder: Path, fingerprint: str) -> Path:
    """The file of a public key that verifies certificates. fingerprint: 64 hexadecimal digits."""
    return folder / _FOLDER / f"key-{fingerprint[:16]}.pem"
