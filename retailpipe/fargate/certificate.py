"""The certificate of a run: all its tasks have the same one, and trust no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from retailpipe.errors import UsageError

_CLOCKS = timedelta(minutes=10)
"""How much the clocks of the tasks may differ from this machine's."""


def new_certificate(seconds: int) -> str:
    """Make a self-signed certificate that is valid for some seconds from now; return it and its key in PEM.

    Raises UsageError if the package cryptography is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ModuleNotFoundError as error:
        raise UsageError(
            "workers on AWS need the package cryptography, which is not installed",
            hint="Install it with `pip install 'retailpipe[aws,cluster]'`; in a checkout, `uv sync --all-extras`.",
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "retailpipe workers")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS)
        .not_valid_after(now + timedelta(seconds=seconds) + _CLOCKS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode() + private.decode()
