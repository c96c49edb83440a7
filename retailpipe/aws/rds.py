"""Connect to the RDS database of a stack, and explain why a connection failed."""

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
from retailpipe.paths import is_file
from retailpipe.warehouse import Warehouse

CA_BUNDLE_URL = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
"""Amazon's RDS certificates for all regions: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html"""
ADDRESS_URL = "https://checkip.amazonaws.com"
"""The URL of a service that returns the public address of the caller."""

_TIMEOUT_SECONDS = 10
_LOGIN_FAILED = re.compile(r"password authentication failed|28P01|PAM authentication failed")
_WRONG_CERTIFICATE = re.compile("certificate verify failed|does not match host name|self.signed|root certificate")
_NOT_READY = {
    "stopped": ("is stopped", "Start it with `retailpipe db start`; this takes a few minutes."),
    "stopping": ("is stopping", "Wait until it is stopped, then start it with `retailpipe db start`."),
    "starting": ("is starting", "Try again in a few minutes; see `retailpipe db status`."),
    "creating": ("is being created", "Try again in a few minutes; see `retailpipe db status`."),
    "rebooting": ("is rebooting", "Try again in a minute; see `retailpipe db status`."),
    "deleting": ("is being deleted", "Deploy the stack again with `pulumi up`."),
    "storage-full": (
        "has no free storage",
        "Increase `databaseMaxStorage` with `pulumi config set`, then run `pulumi up`.",
    ),
}


class RdsDatabase:
    """The RDS instance of a stack. The password is read from the secret when needed, and kept only in memory."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._login: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def warehouse(self) -> Warehouse:
        """Return the database as a Warehouse.

        It connects over TLS with a verified certificate, and reads the password again if it is refused.
        """
        return Warehouse(
            self.uri,
            remedy="Check `retailpipe db status`, then try again. Earlier loads are not affected.",
            isolated=True,
            should_retry=self._renew,
            explain=self.explain,
        )

    def login(self) -> tuple[str, str]:
        """Return user and password. Raises AwsError, for example if the secret or one of its two fields is missing."""
        if self._login is None:
            arn = self._stack.outputs.database_secret_arn
            try:
                with aws_errors(f"read the secret {arn}"):
                    answer = self._stack.aws.client("secretsmanager").get_secret_value(SecretId=arn)
            except AwsError as error:
                if error.code != "ResourceNotFoundException":
                    raise
                hint = "The database may have been recreated: deploy the stack again with `pulumi up`."
                raise AwsError(f"the secret {arn} does not exist", hint=hint, code=error.code) from error
            fields = _object(answer.get("SecretString", ""))
            missing = [name for name in ("username", "password") if not isinstance(fields.get(name), str)]
            if missing:
                hint = "Make RDS write the secret again: `retailpipe db rotate-password`."
                raise AwsError(f"the secret {arn} has no {' and no '.join(missing)}", hint=hint)
            self._login = fields["username"], fields["password"]
        return self._login

    def uri(self) -> str:
        """Return a libpq URI. It contains the password: pass it only to libpq, never print or log it."""
        user, password = self.login()
        outputs = self._stack.outputs
        settings = {
            "sslmode": "verify-full",
            "sslrootcert": str(ca_bundle()),
            # Home routers drop idle connections after a few minutes.
            "keepalives_idle": "60",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            "tcp_user_timeout": "60000",
        }
        place = f"{outputs.database_host}:{outputs.database_port}/{quote(outputs.database_name, safe='')}"
        options = urlencode(settings, quote_via=quote)
        return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{place}?{options}"

    def describe(self) -> dict[str, Any]:
        """Return RDS's description of the instance. Raises AwsError."""
        name = self._stack.outputs.database_instance
        try:
            with aws_errors(f"describe the database instance {name}"):
                answer = self._stack.aws.client("rds").describe_db_instances(DBInstanceIdentifier=name)
        except AwsError as error:
            if error.code not in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
                raise
            hint = "Deploy the stack again with `pulumi up`."
            raise AwsError(f"the database instance {name} does not exist", hint=hint, code=error.code) from error
        return answer["DBInstances"][0]

    def explain(self, error: WarehouseError) -> WarehouseError:
        """Return an error with the cause and a hint, from libpq's message and the status that RDS reports.

        Returns the error itself if the cause is unknown. If RDS cannot be reached, only libpq's message is used.
        """
        outputs, message = self._stack.outputs, str(error)
        place = f"{outputs.database_host}:{outputs.database_port}"
        instance = dict[str, Any]()
        with contextlib.suppress(AwsError):
            instance = self.describe()
        status = instance.get("DBInstanceStatus", "available")
        if status in _NOT_READY:
            what, hint = _NOT_READY[status]
            return WarehouseError(f"the database {outputs.database_instance} {what}", hint=hint, transient=True)
        if _LOGIN_FAILED.search(message):
            reason = f"{place} refuses the password in the secret, which was just read again"
            hint = (
                "RDS may be changing the password: try again in a minute. If it still fails, run "
                "`retailpipe db rotate-password`."
            )
            return WarehouseError(reason, hint=hint)
        if re.search(r'database "[^"]*" does not exist', message):
            reason = f"the database {outputs.database_name} does not exist on {place}"
            command = f"retailpipe db psql -- -d postgres -c 'create database {outputs.database_name}'"
            return WarehouseError(reason, hint=f"Create it: `{command}`.")
        if _WRONG_CERTIFICATE.search(message):
            given = "RETAILPIPE_CA_BUNDLE" in os.environ
            check = (
                "Check the file in RETAILPIPE_CA_BUNDLE."
                if given
                else f"If {ca_bundle()} is outdated, delete it; it is downloaded again."
            )
            hint = f"{check} If the error remains, the connection to AWS may be intercepted."
            return WarehouseError(f"the certificate of {place} is not Amazon's: {message}", hint=hint)
        if "translate host name" in message or "not known" in message:
            hint = (
                "Check the network and DNS. If the stack was deployed again, its outputs changed: see "
                "`pulumi stack output`."
            )
            return WarehouseError(f"the host {outputs.database_host} is unknown", hint=hint, transient=True)
        if instance and not instance.get("PubliclyAccessible", True):
            hint = "Connect from inside its network, or make it public again with `pulumi up --refresh`."
            return WarehouseError(f"{place} is not publicly accessible", hint=hint)
        if re.search(r"time(d )?out|unreachable|refused|no route", message, re.IGNORECASE):
            address = ""
            with contextlib.suppress(AwsError):
                address = f" {my_address()}"
            hint = f"Your address{address} may not be in `allowedCidrs`. Add it with `retailpipe db allow`."
            return WarehouseError(f"{place} does not respond ({message})", hint=hint, transient=True)
        return error

    def _renew(self, error: WarehouseError) -> bool:
        """If the password was refused, read the secret again, and return whether it contains a new password.

        RDS changes it weekly.
        """
        with self._lock:
            refused = self._login
            if refused is None or not _LOGIN_FAILED.search(str(error)):
                return False
            self._login = None
            return self.login() != refused


def ca_bundle(url: str = CA_BUNDLE_URL, folder: Path | None = None) -> Path:
    """Return the file with Amazon's certificates: RETAILPIPE_CA_BUNDLE, or a download that is kept in the cache.

    Raises WarehouseError if the file does not exist, or the download fails or is not a certificate.
    """
    if given := os.environ.get("RETAILPIPE_CA_BUNDLE"):
        if not is_file(Path(given)):
            raise WarehouseError(
                f"the file {given} does not exist", hint="Set RETAILPIPE_CA_BUNDLE to an existing file, or unset it."
            )
        return Path(given)
    from platformdirs import user_cache_path

    folder = folder or user_cache_path("retailpipe", appauthor=False)
    path = folder / "rds-global-bundle.pem"
    if path.is_file():
        return path
    hint = f"Download {url} with a browser and set RETAILPIPE_CA_BUNDLE to the file."
    try:
        pem = _fetch(url)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem or " ")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
            file.write(pem)
        Path(file.name).replace(path)
    except (OSError, ValueError) as error:  # OSError includes ssl.SSLError
        raise WarehouseError(f"Amazon's certificates cannot be downloaded from {url}: {error}", hint=hint) from error
    return path


def my_address(url: str | None = None) -> str:
    """Return this machine's public IP address. Raises AwsError."""
    import ipaddress

    url = url or ADDRESS_URL
    try:
        return str(ipaddress.ip_address(_fetch(url).strip()))
    except (OSError, ValueError) as error:
        hint = "Find your address in a browser, then run `retailpipe db allow --address ADDRESS`."
        raise AwsError(f"{url} does not return this machine's address: {error}", hint=hint) from error


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the program passes only the https URLs above
        return answer.read(4 << 20).decode("utf-8")


def _object(text: str) -> dict[str, Any]:
    """Parse a JSON object; empty if the text is not one."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
