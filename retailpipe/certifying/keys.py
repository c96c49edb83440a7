"""The keys that sign certificates, and those that verify them.

An environment has an Ed25519 key of its own. It is created at the first certificate, under a lock, and only its owner
can read it. The public keys of all certificates of an environment are beside them, named by their fingerprints.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from filelock import FileLock

from retailpipe.certifying.files import private_key_file
from retailpipe.errors import StoreError, UsageError
from retailpipe.folders import make_folder
from retailpipe.hints import file_argument
from retailpipe.register import replace_private

_MAX_BYTES = 1 << 14
_PUBLIC = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class Signer(Protocol):
    """Signs certificates."""

    @property
    def public_key(self) -> PublicKey: ...
    def sign(self, message: bytes) -> bytes: ...


class PublicKey:
    """A public key: Ed25519, or ECDSA on P-256 with SHA-256."""

    def __init__(self, key: _PUBLIC) -> None:
        self._key = key
        self._der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @classmethod
    def from_der(cls, content: bytes, name: str) -> PublicKey:
        """Read a key in DER. name: the key in messages. Raises UsageError."""
        try:
            return cls._checked(serialization.load_der_public_key(content), name)
        except ValueError as error:
            raise _not_a_key(name) from error

    @classmethod
    def from_file(cls, path: Path) -> PublicKey:
        """Read a key from a PEM file. Raises UsageError if it is not one, or of another kind."""
        try:
            with path.open("rb") as file:
                return cls._checked(serialization.load_pem_public_key(file.read(_MAX_BYTES)), str(path))
        except OSError as error:
            raise UsageError(f"cannot read the key {path}: {error.strerror}", hint="Pass a PEM file.") from error
        except ValueError as error:
            raise _not_a_key(str(path)) from error

    @classmethod
    def _checked(cls, key: object, name: str) -> PublicKey:
        is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        if isinstance(key, ed25519.Ed25519PublicKey) or (is_p256 and isinstance(key, ec.EllipticCurvePublicKey)):
            return cls(key)
        raise UsageError(f"{name} is a key of another kind", hint="Certificates use Ed25519, or ECDSA on P-256.")

    @property
    def sha256(self) -> str:
        """The SHA-256 of the key in DER, as hexadecimal digits."""
        return hashlib.sha256(self._der).hexdigest()

    @property
    def pem(self) -> str:
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(encoding, form).decode()

    def is_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key's owner made the signature of a message."""
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


class EnvironmentKey:
    """The Ed25519 key of an environment."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = PublicKey(key.public_key())

    @classmethod
    def of(cls, folder: Path) -> EnvironmentKey:
        """Read the key of the environment in a folder; create it if it does not exist.

        Raises StoreError if it cannot be read or written, if it is damaged, or if other users can read it.
        """
        file = private_key_file(folder)
        try:
            make_folder(folder)
            file.parent.mkdir(exist_ok=True)
            # Under the lock, a second process waits and then uses the key of the first one.
            with FileLock(file.with_suffix(".lock")):
                if not file.exists():
                    replace_private(file, _new_key())
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                raise StoreError(
                    f"other users can read the key {file}, so its certificates prove nothing",
                    hint=f"Delete the key and make new certificates: `rm {file_argument(file)}`.",
                )
            key = serialization.load_pem_private_key(file.read_bytes(), password=None)
        except OSError as error:
            reason = f"cannot use the key {file}: {error.strerror}"
            raise StoreError(reason, hint="Check the permissions of the environment's folder.") from error
        except ValueError as error:
            raise StoreError(f"the key {file} is damaged", hint="Restore it from a backup, or delete it.") from error
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise StoreError(f"the key {file} is not an Ed25519 key", hint="Restore it from a backup, or delete it.")
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def _new_key() -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _not_a_key(name: str) -> UsageError:
    return UsageError(f"{name} is not a public key", hint="Pass the PEM file that is beside the certificate.")
