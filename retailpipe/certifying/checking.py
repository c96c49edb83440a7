"""Check a certificate: its signature and figures, without a network, and then a workbook and the warehouse if asked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.bronze import schema
from retailpipe.bronze.ledger import current_loads
from retailpipe.certifying.certificates import require
from retailpipe.certifying.files import public_key_file
from retailpipe.certifying.reports import CertificateCheck
from retailpipe.environment import Environment, expanded
from retailpipe.errors import UsageError

if TYPE_CHECKING:
    from retailpipe.certifying.envelope import Envelope
    from retailpipe.certifying.keys import PublicKey
    from retailpipe.certifying.statement import Certified
    from retailpipe.connection import Connection

_FINGERPRINT = re.compile("[0-9a-f]{64}")


def check_certificate(
    environment: Environment,
    certificate: str | Path,
    *,
    key: str | Path | None = None,
    workbook: str | Path | None = None,
    warehouse: bool = False,
) -> CertificateCheck:
    """Check a certificate of `certify`: its signature, and that its figures and digests agree with each other.

    This needs neither a database nor a network.

    key: the PEM file of the public key. Default: the keys of the environment's own certificates.
    workbook: a file that must be the workbook of the certificate.
    warehouse: whether to compare the digest of each column with the rows in bronze of the environment.

    Raises UsageError if a file cannot be read, or the extra `certify` is not installed; WarehouseError.
    """
    require()
    from retailpipe.certifying.envelope import MAX_BYTES, NotAnEnvelope, read_envelope
    from retailpipe.certifying.keys import PublicKey
    from retailpipe.certifying.statement import NotACertificate, certified

    path = expanded(certificate)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="Pass the file of a certificate.") from error
    given = PublicKey.from_file(expanded(key)) if key else None
    name, fingerprint = str(path), ""
    try:
        envelope = read_envelope(content)
        trusted = given or _known_key(environment, envelope)
        fingerprint = trusted.sha256
        if envelope.keyid != fingerprint:
            raise NotAnEnvelope(f"it was signed with key {_brief(envelope.keyid)}, not with {fingerprint}")
        found = certified(envelope.opened(trusted.is_signed))
    except (NotAnEnvelope, NotACertificate) as error:
        return CertificateCheck(False, name, (str(error),), fingerprint)
    problems, compared = list(found.problems), list[str]()
    if workbook is not None:
        problems += _workbook_problems(found, expanded(workbook))
        compared.append(str(workbook))
    if warehouse:
        problems += _warehouse_problems(environment, found)
        compared.append("the warehouse")
    return CertificateCheck(
        ok=not problems,
        file=name,
        problems=tuple(problems),
        key=fingerprint,
        source=found.source,
        content_hash=found.content_hash,
        created_at=found.created_at,
        rows=found.rows,
        compared=tuple(compared),
    )


def _known_key(environment: Environment, envelope: Envelope) -> PublicKey:
    """The key of the environment that signed an envelope, according to it. Raises ValueError if there is none."""
    from retailpipe.certifying.envelope import NotAnEnvelope
    from retailpipe.certifying.keys import PublicKey

    is_fingerprint = _FINGERPRINT.fullmatch(envelope.keyid)
    file = public_key_file(environment.folder, envelope.keyid)
    if not is_fingerprint or not file.is_file():
        reason = f"it was signed with key {_brief(envelope.keyid)}, which is not one of this environment"
        raise NotAnEnvelope(f"{reason}; if you trust that key, pass its file with --key")
    return PublicKey.from_file(file)


def _workbook_problems(found: Certified, workbook: Path) -> list[str]:
    try:
        with workbook.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {workbook}: {error.strerror}", hint="Pass the workbook's file.") from error
    if digest == found.content_hash:
        return []
    return [f"{workbook} is not its workbook: its SHA-256 is {digest}, that of the certificate is {found.content_hash}"]


def _warehouse_problems(environment: Environment, found: Certified) -> list[str]:
    """What differs between a certificate and the rows of its load in bronze. Raises WarehouseError."""
    from retailpipe.certifying.stored import ROW, SHEET, StoredRows, correction_loads

    with environment.warehouse.connect(read_only=True) as connection:
        loads = current_loads(connection) if schema.has_schema(connection) else {}
        entry = loads.get(found.source)
        if entry is None or (entry.load_id, entry.content_hash) != (found.load_id, found.content_hash):
            return [f"load {found.load_id} of {found.source} is not in the warehouse any more"]
        columns = [(each.name, each.type) for each in found.columns if each.name not in (SHEET, ROW)]
        missing = {name for name, _ in columns} - set(_columns_of(connection, entry.table_name))
        if missing:
            return [f"bronze.{entry.table_name} has no column {name}" for name in sorted(missing)]
        stored = StoredRows(connection, entry.table_name, entry.load_id, columns, several_sheets=found.several_sheets)
        for _ in stored:
            pass
        problems: list[str] = []
        if stored.rows != found.rows:
            problems.append(f"bronze has {stored.rows:,} rows of load {found.load_id}, not {found.rows:,}")
        problems += [
            f"column {now.name} of load {found.load_id} in bronze.{entry.table_name} was changed"
            for now, then in zip(stored.digests(), found.columns, strict=True)
            if now != then
        ]
        digests: dict[int, str] = {}
        for each in correction_loads(connection, entry.load_id):
            several = found.several_sheets
            corrected = StoredRows(connection, entry.table_name, each.load_id, columns, several_sheets=several)
            for _ in corrected:
                pass
            digests[each.load_id] = corrected.digest()
        if changed := sorted({load_id for load_id, _ in digests.items() ^ found.corrections.items()}):
            problems.append(f"the corrections of load {found.load_id} were changed: load {changed[0]}")
        return problems


def _columns_of(connection: Connection, table: str) -> list[str]:
    """The columns of a table of bronze. A certificate's own names go into no statement before they are found here."""
    rows = connection.rows(
        "select attname::text from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped",
        f'bronze."{table}"',
    )
    return [name for (name,) in rows]


def _brief(text: str) -> str:
    return repr(text) if len(text) <= 64 else f"{text[:64]!r}..."
