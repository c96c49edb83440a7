"""The settings of a stack: their names, defaults and descriptions. Pulumi's config has them as text.

`Settings.read` reports all mistakes at once, before the program declares any resource.
The texts of the settings are also in docs/settings.md and Pulumi.yaml: run `make docs` after a change.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

from retailpipe import setting_values as values
from retailpipe.addresses import is_unusually_wide
from retailpipe.config import Mistake, config_of_stack, correction, missing, parse, refuse, removal, setting
from retailpipe.errors import UnknownPrice
from retailpipe.prices import Prices, savings, worst_case

_MAX_STORAGE = 65_536
"""In GB: the most that RDS allows for a PostgreSQL instance."""
_EXAMPLE_DAYS = 90
"""How many days after today the date in a message is."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a stack. In Pulumi's config, the names are in camel case, such as allowedCidrs."""

    allowed_cidrs: tuple[str, ...] = setting(
        "Networks that may connect to the database, separated by commas. To allow only your own computer, use the "
        "address that https://checkip.amazonaws.com shows, followed by /32. At least one IPv4 network is required. "
        "IPv4 networks larger than /8 and IPv6 networks larger than /19 are rejected.",
        values.cidrs,
        "string",
    )
    ephemeral: bool = setting(
        "Whether the stack, for example a student's, can be destroyed completely with one command. `true`: no "
        "deletion protection and no backups; destroying the stack deletes all its data. `false`: the bucket and the "
        "database are protected from deletion, and RDS backs up the database and keeps a final snapshot of it.",
        values.boolean,
        "boolean",
        default=True,
    )
    nat_gateway: bool = setting(
        "Whether to create a NAT gateway, which connects the private subnets to the internet. It costs about 33 USD a "
        "month, plus its public IP address. The pipeline does not need it.",
        values.boolean,
        "boolean",
        default=False,
    )
    database_class: str = setting(
        "RDS instance class of the database, such as db.t4g.micro or db.t4g.small.",
        values.matching(r"db\.[a-z0-9]+\.[a-z0-9]+", "an RDS instance class", "db.t4g.micro"),
        "string",
        default="db.t4g.micro",
    )
    database_storage: int = setting(
        "Initial storage of the database, in GB; at least 20.", values.integer(20, _MAX_STORAGE), "integer", default=20
    )
    database_max_storage: int = setting(
        "Maximum storage of the database, in GB: RDS adds storage automatically up to this limit. Must be at least "
        "10 % more than `databaseStorage`. 0 turns automatic growth off.",
        values.integer(0, _MAX_STORAGE),
        "integer",
        default=40,
    )
    engine_version: str = setting(
        "PostgreSQL version: 17, or a minor version such as 17.6. With 17, RDS installs minor upgrades automatically; "
        "a minor version is kept until you change this setting.",
        values.matching(r"17(\.[0-9]+)?", "17 or a minor version such as 17.6", "17"),
        "string",
        default="17",
    )
    backup_days: int = setting(
        "Number of days for which RDS keeps automated backups, from 1 to 35. Ignored if `ephemeral` is `true`.",
        values.integer(1, 35),
        "integer",
        default=7,
    )
    log_retention_days: int = setting(
        "Number of days for which CloudWatch keeps the logs of the Lambdas and the database. Must be a value that "
        "CloudWatch allows, such as 7, 14, 30 or 90.",
        values.retention,
        "integer",
        default=14,
    )
    schedule: str = setting(
        "When check_bucket runs, as an EventBridge schedule expression: cron(...), in UTC, or rate(...). It runs only "
        "if the schedule is enabled (see `scheduleEnabled`).",
        values.schedule,
        "string",
        default="cron(0 2 * * ? *)",
    )
    schedule_enabled: bool = setting(
        "Whether check_bucket runs on schedule. `retailpipe schedule on` enables the schedule without a deployment.",
        values.boolean,
        "boolean",
        default=False,
    )
    source_url: str | None = setting(
        "HTTPS address of a workbook. When check_bucket runs, it copies the workbook to the bucket if it has changed. "
        "The address must not contain a user name or a password; write an @ in its path as %40. If the "
        "address contains a token, store it as a secret: `pulumi config set --secret sourceUrl ADDRESS`.",
        values.https,
        "string",
        default=None,
    )
    workers: int = setting(
        "Highest number of workers on AWS for one run of `retailpipe ingest --workers N`, at most 100. They are "
        "Fargate tasks that exist only during a run. 0: the stack has no workers.",
        values.integer(0, 100),
        "integer",
        default=0,
    )
    worker_spot: bool = setting(
        "Whether workers are Fargate Spot tasks, which cost about 70 % less, and which AWS may stop at any time: other "
        "workers then load their workbooks.",
        values.boolean,
        "boolean",
        default=True,
    )
    worker_hours: int = setting(
        "Highest number of hours of all tasks of runs together in a month: 18 workers, the scheduler and the client "
        "for half an hour are 10. A run that would need more is refused, and a run ends when they are used up. "
        "`maxMonthlyCost` counts all of them.",
        values.integer(1, 100_000),
        "integer",
        default=100,
    )
    notify_emails: tuple[str, ...] = setting(
        "Email addresses that receive notices and alarms, separated by commas. AWS first sends each address a link "
        "that confirms the subscription.",
        values.emails,
        "string",
        default=(),
    )
    max_monthly_cost: int = setting(
        "Highest allowed cost of the stack in a month, in USD. If the stack could cost more, nothing is created. This "
        "is checked for the worst case: the database runs all day, its storage has grown to `databaseMaxStorage`, and "
        "the free alarms and dashboards of the account are used up. Charges per use are not counted. 0: no limit.",
        values.integer(0, 1_000_000),
        "integer",
        default=0,
    )
    monthly_budget: int = setting(
        "Monthly budget in USD. A notice is sent when the actual or the forecast cost exceeds 80 % of it. AWS counts "
        "costs only after the account activates the cost allocation tag `Pipeline`. 0: no budget.",
        values.integer(0, 1_000_000),
        "integer",
        default=25,
    )
    nightly_stop: str | None = setting(
        "Time of day at which the database is stopped, such as 22:00. If not set, the database is not stopped. AWS "
        "starts a stopped database again after seven days; the next nightly stop stops it again.",
        values.time_of_day,
        "string",
        default=None,
    )
    nightly_stop_time_zone: str = setting(
        "Time zone of `nightlyStop`, such as Europe/Berlin.", values.time_zone, "string", default="UTC"
    )
    dashboard: bool = setting("Whether to create a CloudWatch dashboard.", values.boolean, "boolean", default=True)
    alarms: bool = setting(
        "Whether to create CloudWatch alarms for the Lambdas, the database and the dead-letter queue.",
        values.boolean,
        "boolean",
        default=True,
    )
    student_policy: bool = setting(
        "Whether to create an IAM policy for a student's user. It allows what the library needs on this stack, and "
        "nothing else.",
        values.boolean,
        "boolean",
        default=True,
    )
    student_user: str | None = setting(
        "Name of the existing IAM user to which the student's policy is attached. If not set, attach the policy "
        "manually.",
        values.matching(r"[\w+=,.@-]{1,64}", "the name of an IAM user", "student-1"),
        "string",
        default=None,
    )
    existing_role_arn: str | None = setting(
        "ARN of an existing IAM role for the Lambdas, the nightly stop and the expiry, for accounts in which you may "
        "not create roles, such as learner labs. If set, no IAM resources are created, including the student's "
        "policy.",
        values.matching(
            r"arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+", "the ARN of a role", "arn:aws:iam::123456789012:role/Lab"
        ),
        "string",
        default=None,
    )
    existing_vpc_id: str | None = setting(
        "ID of an existing VPC for the database. If set, no network is created, and `existingSubnetIds` is required.",
        values.matching(r"vpc-[0-9a-f]+", "the ID of a VPC", "vpc-0123456789abcdef0"),
        "string",
        default=None,
    )
    existing_subnet_ids: tuple[str, ...] = setting(
        "IDs of the subnets of `existingVpcId` for the database, separated by commas: at least two, in different "
        "availability zones.",
        values.subnets,
        "string",
        default=(),
    )
    owner: str = setting("Owner of the stack: the value of the tag `Owner`.", values.owner, "string", default="")
    expires_on: str = setting(
        "Last day on which the stack is needed, such as 2027-03-31: the value of the tag `ExpiresOn`. At the end of "
        "that day (23:59:59 UTC), AWS deletes the database with its data, which is nearly all of the cost; two days "
        "before, it publishes a notice. After that day, `pulumi up` is refused until you set a later date. If "
        "`ephemeral` is `false`, the setting is only a tag, and nothing is deleted.",
        values.day,
        "string",
        default="",
    )
    classroom: bool = setting(
        "Whether this is the classroom stack of a class, which `retailpipe class up` deploys: the network, the budget "
        "and the topic that the stacks of all students share. It has no database. Its other settings are "
        "`monthlyBudget`, `notifyEmails`, `owner` and `expiresOn`.",
        values.boolean,
        "boolean",
        default=False,
    )

    @property
    def kept_backup_days(self) -> int:
        return 0 if self.ephemeral else self.backup_days

    @property
    def deletes_database_on(self) -> date | None:
        """The day at the end of which AWS deletes the database; None if it never does."""
        return date.fromisoformat(self.expires_on) if self.ephemeral and self.expires_on else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """One message for each setting that is valid but probably a mistake."""
        networks = [ipaddress.ip_network(cidr) for cidr in self.allowed_cidrs]
        return tuple(
            f"allowedCidrs: {network} contains {network.num_addresses:,} addresses, and each of them can try to log in "
            f"to the database. {correction('allowedCidrs', '203.0.113.7/32')}"
            for network in networks
            if is_unusually_wide(network)
        )

    @property
    def disabled_parts(self) -> tuple[str, ...]:
        """The parts that are not created with these settings, each with its consequence or replacement."""
        disabled: list[str] = []
        if self.existing_role_arn:
            disabled.append("IAM resources (the Lambdas and the schedules use existingRoleArn)")
        if self.existing_role_arn or not self.student_policy:
            disabled.append(
                "the student's policy (grant the user the permissions in retailpipe/infra/access.py manually)"
            )
        if self.existing_vpc_id:
            disabled.append("the network (the database is in existingVpcId)")
        if not self.monthly_budget:
            disabled.append("the budget")
        if not self.nightly_stop:
            disabled.append("the nightly stop (run `retailpipe db stop` to stop the database)")
        if self.ephemeral and not self.expires_on:
            disabled.append("the expiry (set expiresOn to the last day on which you need the database)")
        if not self.workers:
            disabled.append("the workers (set workers to load many workbooks at once on AWS)")
        if not self.dashboard:
            disabled.append("the dashboard")
        if not self.alarms:
            disabled.append("the alarms")
        return tuple(disabled)

    @classmethod
    def of_stack(cls) -> Self:
        """Read the settings of the stack for which Pulumi runs the program. Raises SettingsError."""
        return cls.read(config_of_stack(), today=datetime.now(UTC).date())

    @classmethod
    def read(cls, config: Mapping[str, str], *, today: date | None = None) -> Self:
        """Read the settings of a stack from its config.

        config: the values by name, without the project's prefix.
        today: the day on which the stack is deployed, in UTC: a stack that has expired is refused. None: it is not
        deployed, so it may have expired.
        Raises SettingsError, which lists all mistakes.
        """
        parsed, mistakes = parse(cls, config)
        refuse([*missing(cls, config), *mistakes])
        settings = cls(**parsed)
        refuse([*settings._contradictions(), *settings._too_expensive(), *settings._expired(today)])
        return settings

    def _contradictions(self) -> list[Mistake]:
        mistakes: list[Mistake] = []
        if self.database_max_storage and self.database_max_storage < self.database_storage * 1.1:
            least = -(-self.database_storage * 11 // 10)
            reason = (
                f"databaseMaxStorage: {self.database_max_storage} is not at least 10 % more than databaseStorage, "
                f"which is {self.database_storage}"
            )
            mistakes.append(Mistake("databaseMaxStorage", reason, correction("databaseMaxStorage", str(least))))
        if bool(self.existing_vpc_id) != bool(self.existing_subnet_ids):
            given, absent = "existingVpcId", "existingSubnetIds"
            if not self.existing_vpc_id:
                given, absent = absent, given
            examples = {"existingVpcId": "vpc-0123456789abcdef0", "existingSubnetIds": "subnet-0a,subnet-0b"}
            reason = f"{absent} is not set, but {given} is"
            mistakes.append(Mistake(absent, reason, correction(absent, examples[absent])))
        if self.existing_vpc_id and self.nat_gateway:
            reason = "natGateway: must be false if existingVpcId is set, because no network is created then"
            mistakes.append(Mistake("natGateway", reason, correction("natGateway", "false")))
        if self.classroom:
            reason = "classroom: must be false for a stack with a pipeline"
            mistakes.append(Mistake("classroom", reason, correction("classroom", "false")))
        return mistakes

    def _too_expensive(self) -> list[Mistake]:
        """A mistake if the stack could cost more than `maxMonthlyCost` in a month."""
        name, limit, prices = "maxMonthlyCost", self.max_monthly_cost, Prices.known()
        if not limit:
            return []
        try:
            worst = worst_case(self, prices)
        except UnknownPrice as error:
            reason = f"{name}: the cost of a month cannot be compared with it, because {error}"
            return [Mistake(name, reason, f"{correction('databaseClass', 'db.t4g.micro')} Or {_lower(removal(name))}")]
        if worst.running <= limit:
            return []
        parts = ", ".join(f"{item.item} {item.running:.2f}" for item in worst.items if item.running)
        reason = (
            f"{name}: the stack can cost {worst.running:.2f} USD in a month, which is more than {limit}: {parts} "
            f"(prices of {worst.region}; other regions cost up to 25 % more)"
        )
        lower = "; ".join(
            f"`pulumi config set {other} {value}` saves {amount:.2f} USD"
            for (other, value), amount in savings(self, prices).items()
        )
        allow = f"`pulumi config set {name} {math.ceil(worst.running)}` allows the stack."
        return [Mistake(name, reason, f"Lower the cost: {lower}. Or raise the limit: {allow}" if lower else allow)]

    def _expired(self, today: date | None) -> list[Mistake]:
        """A mistake if AWS has deleted the database, or would never delete the one that is created now."""
        last_day = self.deletes_database_on
        if not (today and last_day and last_day < today):
            return []
        reason = (
            f"expiresOn: {last_day} is past. If this stack was deployed, AWS deleted its database with its data at the "
            "end of that day"
        )
        later = today + timedelta(days=_EXAMPLE_DAYS)
        fix = (
            f"To go on, set a later date, for example with `pulumi config set expiresOn {later}`, or none with "
            "`pulumi config rm expiresOn`, and create the database again with `pulumi up --refresh`. To remove the "
            "rest of the stack, run `retailpipe cleanup --stack NAME`; of a class, `retailpipe class down --expired`."
        )
        return [Mistake("expiresOn", reason, fix)]


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
