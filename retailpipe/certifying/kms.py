"""Sign certificates with a key of AWS KMS, which never leaves AWS."""

from __future__ import annotations

import hashlib

from retailpipe.aws.session import Aws, aws_errors
from retailpipe.certifying.keys import PublicKey
from retailpipe.errors import UsageError

_ALGORITHM = "ECDSA_SHA_256"


class KmsKey:
    """An asymmetric key of KMS for signatures, on the curve P-256.

    name: its ID, ARN or alias, such as alias/certificates.
    Raises AwsError if it does not exist or may not be used, UsageError if it is of another kind.
    """

    def __init__(self, aws: Aws, name: str) -> None:
        self._name = name
        self._kms = aws.client("kms")
        with aws_errors(f"read the public key of {name}"):
            found = self._kms.get_public_key(KeyId=name)
        if _ALGORITHM not in found.get("SigningAlgorithms", []):
            create = aws.command("kms", "create-key", "--key-spec", "ECC_NIST_P256", "--key-usage", "SIGN_VERIFY")
            raise UsageError(f"the KMS key {name} cannot sign with {_ALGORITHM}", hint=f"Create one: `{create}`.")
        self.public_key = PublicKey.from_der(found["PublicKey"], f"the public key of {name}")

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, in DER. Raises AwsError."""
        with aws_errors(f"sign a certificate with {self._name}"):
            answer = self._kms.sign(
                KeyId=self._name,
                Message=hashlib.sha256(message).digest(),
                MessageType="DIGEST",
                SigningAlgorithm=_ALGORITHM,
            )
        return bytes(answer["Signature"])
