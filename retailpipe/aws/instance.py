"""Operate the database of a stack: status, start, stop, psql, password rotation, allowed addresses."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from retailpipe.addresses import Network, is_too_wide, is_unusually_wide
from retailpipe.aws.pulumi import Pulumi
from retailpipe.aws.rds import RdsDatabase, ca_bundle, my_address
from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError, UsageError
from retailpipe.reports import Report


@dataclass(frozen=True)
class DatabaseStatus(Report):
    """The database instance. status: as RDS reports it, such as available or stopped. storage: in GB."""

    instance: str
    status: str
    engine: str
    instance_class: str
    storage: int
    host: str
    port: int

    def __str__(self) -> str:
        about = f"{self.engine}, {self.instance_class}, {self.storage} GB, {self.host}:{self.port}"
        return f"{self.instance}: {self.status} ({about})"


def database_status(stack: Stack) -> DatabaseStatus:
    """Read the state of the instance from RDS. Raises AwsError."""
    found = RdsDatabase(stack).describe()
    return DatabaseStatus(
        instance=found["DBInstanceIdentifier"],
        status=found["DBInstanceStatus"],
        engine=f"{found['Engine']} {found.get('EngineVersion', '')}".strip(),
        instance_class=found["DBInstanceClass"],
        storage=found["AllocatedStorage"],
        host=stack.outputs.database_host,
        port=stack.outputs.database_port,
    )


def start_database(stack: Stack) -> DatabaseStatus:
    """Start the instance if it is stopped, and return at once; the start takes a few minutes. Raises AwsError."""
    return _start_or_stop(stack, "start", already=("available", "starting"))


def stop_database(stack: Stack) -> DatabaseStatus:
    """Stop the instance if it is running. AWS starts it again after seven days. Raises AwsError."""
    return _start_or_stop(stack, "stop", already=("stopped", "stopping"))


def rotate_password(stack: Stack) -> None:
    """Make RDS change the password in the secret now, before its weekly rotation. Raises AwsError."""
    name = stack.outputs.database_instance
    with aws_errors(f"change the password of {name}"):
        stack.aws.client("rds").modify_db_instance(
            DBInstanceIdentifier=name, RotateMasterUserPassword=True, ApplyImmediately=True
        )


def psql(stack: Stack, arguments: Sequence[str] = ()) -> int:
    """Run psql on the database, and return its exit code.

    The password is passed only in the environment of that process, not on its command line, which other users can read.
    Raises UsageError if psql is not installed, AwsError.
    """
    program = shutil.which("psql")
    if not program:
        raise UsageError("psql is not on PATH", hint="Install the PostgreSQL client, or use `retailpipe query`.")
    user, password = RdsDatabase(stack).login()
    outputs = stack.outputs
    variables = {
        "PGHOST": outputs.database_host,
        "PGPORT": str(outputs.database_port),
        "PGDATABASE": outputs.database_name,
        "PGUSER": user,
        "PGPASSWORD": password,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(ca_bundle()),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with subprocess.Popen([program, *arguments], env=environment | variables) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # psql gets the signal too: it cancels the statement and continues
                continue


@dataclass(frozen=True)
class Allowed(Report):
    """A change of the setting `allowedCidrs`. address: the network added. before, after: the setting's value."""

    address: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        return self.before != self.after

    def __str__(self) -> str:
        if not self.changed:
            return f"{self.address} is already allowed: {self.before}"
        network = ipaddress.ip_network(self.address)
        wide = f"\n{network} contains {network.num_addresses:,} addresses; allow only your own address if you can"
        changed = f"allowedCidrs: {self.before or '(not set)'} -> {self.after}"
        return changed + (wide if is_unusually_wide(network) else "")


def allow(stack: Stack, address: str | None = None, *, dry_run: bool = False) -> Allowed:
    """Add an address to the stack's setting `allowedCidrs`; the next `pulumi up` opens the database to it.

    address: an address or a network; default: this machine's public address, which AWS reports.
    dry_run: return the change without making it.
    Raises UsageError if the address is invalid or the network is too large, AwsError if the pulumi command or the
    Pulumi project is not available here.
    """
    try:
        network = ipaddress.ip_network(address or my_address())
    except ValueError as error:
        raise UsageError(
            f"{address!r} is not an address: {error}", hint="Write an address such as 203.0.113.7."
        ) from None
    if is_too_wide(network):
        raise UsageError(f"the network {network} is too large", hint="Allow only your own address or network.")
    pulumi = Pulumi.find(stack.outputs.stack, stack.outputs.project)
    if pulumi is None:
        raise AwsError(
            f"allowedCidrs can be changed only with the pulumi command, in the folder of project "
            f"{stack.outputs.project}",
            hint=f"In the folder that you deploy from, add {network} to the list that `pulumi config get allowedCidrs` "
            "prints, set it with `pulumi config set allowedCidrs LIST`, and run `pulumi up`.",
        )
    before = pulumi.config("allowedCidrs")
    networks = [part.strip() for part in before.split(",") if part.strip()]
    if any(_contains(each, network) for each in networks):
        return Allowed(str(network), before, before)
    after = ",".join([*networks, str(network)])
    if not dry_run:
        pulumi.set_config("allowedCidrs", after)
    return Allowed(str(network), before, after)


def _contains(network: str, other: Network) -> bool:
    """Whether a network contains another; False if the text is not a network or is of the other IP version."""
    try:
        container = ipaddress.ip_network(network)
    except ValueError:
        return False
    if isinstance(container, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return other.subnet_of(container)
    if isinstance(container, ipaddress.IPv6Network) and isinstance(other, ipaddress.IPv6Network):
        return other.subnet_of(container)
    return False


def _start_or_stop(stack: Stack, verb: str, *, already: tuple[str, ...]) -> DatabaseStatus:
    """Start or stop the instance unless its status is one of `already`, and return its status afterwards."""
    before = database_status(stack)
    if before.status in already:
        return before
    rds, name = stack.aws.client("rds"), stack.outputs.database_instance
    try:
        with aws_errors(f"{verb} the database {name}"):
            (rds.start_db_instance if verb == "start" else rds.stop_db_instance)(DBInstanceIdentifier=name)
    except AwsError as error:
        if error.code in ("InvalidDBInstanceState", "InvalidDBInstanceStateFault"):
            hint = "Wait until the current operation ends (see `retailpipe db status`), then try again."
            raise AwsError(f"{error}; its status is {before.status}", hint=hint, code=error.code) from error
        raise
    return database_status(stack)
