"""The database of a stack: how it is reached, and why it is not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import ssl
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError, WarehouseError
from retailpipe.warehouse import Warehouse

CA_BUNDLE_URL = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
"""Amazon's certificates of RDS for all regions: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html"""
ADDRESS_URL = "https://checkip.amazonaws.com"
"""Answers with the address that it is asked from."""

_TIMEOUT_SECONDS = 10
_LOGIN_FAILED = re.compile(r"password authentication failed|28P01|PAM authentication failed")
_WRONG_CERTIFICATE = re.compile("certificate verify failed|does not match host name|self.signed|root certificate")
_NOT_READY = {
    "stopped": ("is stopped", "Start it with `retailpipe db start`; that takes some minutes."),
    "stopping": ("is being stopped", "Wait until it is stopped, then start it with `retailpipe db start`."),
    "starting": ("is starting", "Try again in some minutes; see `retailpipe db status`."),
    "creating": ("is being made", "Try again in some minutes; see `retailpipe db status`."),
    "rebooting": ("is rebooting", "Try again in a minute; see `retailpipe db status`."),
    "deleting": ("is being deleted", "Deploy the stack again with `pulumi up`."),
    "storage-full": ("has no storage left", "Raise `databaseMaxStorage` with `pulumi config set`, and `pulumi up`."),
}


class RdsDatabase:
    """The RDS instance of a stack. Its password is read when it is needed, and kept in memory alone."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._login: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def warehouse(self) -> Warehouse:
        """The database over TLS, its certificate verified, with a password that is read again when it is refused."""
        return Warehouse(
            self.uri,
            remedy="See `retailpipe db status`, and try again: what was loaded before is still there.",
            isolated=True,
            again=self._renew,
            explain=self.explain,
        )

    def login(self) -> tuple[str, str]:
        """User and password. Raises AwsError, which names the secret and the field where one is missing."""
        if self._login is None:
            arn = self._stack.outputs.database_secret_arn
            try:
                with aws_errors(f"read the secret {arn}"):
                    answer = self._stack.aws.client("secretsmanager").get_secret_value(SecretId=arn)
            except AwsError as error:
                if error.code != "ResourceNotFoundException":
                    raise
                hint = "The database was made anew: deploy the stack again with `pulumi up`."
                raise AwsError(f"there is no secret {arn}", hint=hint, code=error.code) from error
            fields = _object(answer.get("SecretString", ""))
            missing = [name for name in ("username", "password") if not isinstance(fields.get(name), str)]
            if missing:
                hint = "It is RDS that writes it: `retailpipe db rotate-password` has it written anew."
                raise AwsError(f"the secret {arn} has no {' and no '.join(missing)}", hint=hint)
            self._login = fields["username"], fields["password"]
        return self._login

    def uri(self) -> str:
        """A libpq URI with the password in it: for libpq alone, never to be shown."""
        user, password = self.login()
        outputs = self._stack.outputs
        settings = {
            "sslmode": "verify-full",
            "sslrootcert": str(ca_bundle()),
            # Home routers forget a quiet connection after some minutes.
            "keepalives_idle": "60",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            "tcp_user_timeout": "60000",
        }
        place = f"{outputs.database_host}:{outputs.database_port}/{quote(outputs.database_name, safe='')}"
        options = urlencode(settings, quote_via=quote)
        return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{place}?{options}"

    def describe(self) -> dict[str, Any]:
        """What RDS says of the instance. Raises AwsError."""
        name = self._stack.outputs.database_instance
        try:
            with aws_errors(f"look at the database instance {name}"):
                answer = self._stack.aws.client("rds").describe_db_instances(DBInstanceIdentifier=name)
        except AwsError as error:
            if error.code not in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
                raise
            hint = "Deploy the stack again with `pulumi up`."
            raise AwsError(f"there is no database instance {name}", hint=hint, code=error.code) from error
        return answer["DBInstances"][0]

    def explain(self, error: WarehouseError) -> WarehouseError:
        """Why the database cannot be reached, and what to do, as far as AWS tells."""
        outputs, said = self._stack.outputs, str(error)
        place = f"{outputs.database_host}:{outputs.database_port}"
        instance = dict[str, Any]()
        with contextlib.suppress(AwsError):  # what libpq said is told all the same
            instance = self.describe()
        status = instance.get("DBInstanceStatus", "available")
        if status in _NOT_READY:
            what, hint = _NOT_READY[status]
            return WarehouseError(f"the database {outputs.database_instance} {what}", hint=hint, transient=True)
        if _LOGIN_FAILED.search(said):
            reason = f"{place} refuses the password in the secret, which was read again just now"
            hint = "RDS may be changing it: try again in a minute, or have it changed: `retailpipe db rotate-password`."
            return WarehouseError(reason, hint=hint)
        if re.search(r'database "[^"]*" does not exist', said):
            reason = f"there is no database {outputs.database_name} on {place}"
            command = f"retailpipe db psql -- -d postgres -c 'create database {outputs.database_name}'"
            return WarehouseError(reason, hint=f"Make it: `{command}`.")
        if _WRONG_CERTIFICATE.search(said):
            given = "RETAILPIPE_CA_BUNDLE" in os.environ
            old = "Check the file in RETAILPIPE_CA_BUNDLE." if given else f"If {ca_bundle()} is old, remove it."
            hint = f"{old} If it is not, somebody between you and AWS may read along."
            return WarehouseError(f"the certificate of {place} is not Amazon's: {said}", hint=hint)
        if "translate host name" in said or "not known" in said:
            hint = (
                "Check the network and its names (DNS); if the stack was deployed anew, `pulumi stack output` is too."
            )
            return WarehouseError(f"the host {outputs.database_host} is unknown", hint=hint, transient=True)
        if instance and not instance.get("PubliclyAccessible", True):
            hint = "Reach it from inside its network, or make it public: the program of the stack declares it so."
            return WarehouseError(f"{place} is not publicly accessible", hint=hint)
        if re.search(r"time(d )?out|unreachable|refused|no route", said, re.IGNORECASE):
            mine = ""
            with contextlib.suppress(AwsError):
                mine = f" {my_address()}"
            hint = f"Your address{mine} may not be in `allowedCidrs`: `retailpipe db allow` puts it there."
            return WarehouseError(f"{place} does not answer ({said})", hint=hint, transient=True)
        return error

    def _renew(self, error: WarehouseError) -> bool:
        """Whether there is another password than the one that was refused: RDS changes it every week."""
        with self._lock:
            refused = self._login
            if refused is None or not _LOGIN_FAILED.search(str(error)):
                return False
            self._login = None
            return self.login() != refused


def ca_bundle(url: str = CA_BUNDLE_URL, folder: Path | None = None) -> Path:
    """The file with Amazon's certificates: RETAILPIPE_CA_BUNDLE, or fetched once over HTTPS into the cache.

    Raises WarehouseError.
    """
    if given := os.environ.get("RETAILPIPE_CA_BUNDLE"):
        if not Path(given).is_file():
            raise WarehouseError(f"there is no file {given}", hint="Set RETAILPIPE_CA_BUNDLE to one, or unset it.")
        return Path(given)
    from platformdirs import user_cache_path

    folder = folder or user_cache_path("retailpipe", appauthor=False)
    path = folder / "rds-global-bundle.pem"
    if path.is_file():
        return path
    hint = f"Download {url} with a browser, and set RETAILPIPE_CA_BUNDLE to the file."
    try:
        pem = _fetch(url)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem or " ")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
            file.write(pem)
        Path(file.name).replace(path)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise WarehouseError(f"Amazon's certificates cannot be fetched from {url}: {error}", hint=hint) from error
    return path


def my_address(url: str | None = None) -> str:
    """The address from which this machine reaches the internet. Raises AwsError."""
    import ipaddress

    url = url or ADDRESS_URL
    try:
        return str(ipaddress.ip_address(_fetch(url).strip()))
    except (OSError, ValueError) as error:
        hint = "Find it in a browser, and name it: `retailpipe db allow --address ADDRESS`."
        raise AwsError(f"{url} does not tell this machine's address: {error}", hint=hint) from error


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - https, by the constants above
        return answer.read(4 << 20).decode("utf-8")


def _object(text: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
