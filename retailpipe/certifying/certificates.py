"""Certify loaded workbooks: read each again, compare it with the warehouse, and sign the result."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from retailpipe.bindings import Bindings
from retailpipe.bronze import schema
from retailpipe.bronze.ledger import Entry, current_loads
from retailpipe.certifying.files import certificate_file, public_key_file
from retailpipe.certifying.reports import Cells, Certification, Difference, Rows
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import ContractError, NothingLoaded, SourceNotFound, StoreError, UsageError, WorkbookError
from retailpipe.files import write_file
from retailpipe.folders import make_folder
from retailpipe.invariants import verified
from retailpipe.keys import INPUT
from retailpipe.progress import NoProgress, Progress

if TYPE_CHECKING:
    from retailpipe.certifying.comparison import Comparison
    from retailpipe.certifying.keys import Signer
    from retailpipe.certifying.stored import CorrectionLoad
    from retailpipe.connection import Connection
    from retailpipe.reports import VerifyReport
    from retailpipe.snapshots import Snapshot

_EXTRA = "Install what certificates need with its extra: pip install 'retailpipe[certify]'."


def certify(
    environment: Environment,
    source: str | None = None,
    *,
    contract: Contract | None = None,
    kms_key: str | None = None,
    progress: Progress | None = None,
) -> list[Certification]:
    """Read loaded workbooks again with a second reader, compare them with the warehouse, and sign certificates.

    Every cell of a workbook must be in bronze, in the quarantine, in a column that the contract leaves out, or blank;
    every row of bronze must be in the workbook; and every invariant of `verify` must hold. Otherwise nothing is signed,
    and the report names the first differences. docs/certify.md says what a certificate proves.

    source: the key of a loaded workbook, with or without `input/`. Default: all loaded workbooks.
    contract: the contract that the workbook was loaded under. Default: that of the environment.
    kms_key: the ID, ARN or alias of a KMS key that signs, on a stack. Default: the Ed25519 key of the environment.

    Raises UsageError if the extra `certify` is not installed, or for `kms_key` without a stack; NothingLoaded;
    SourceNotFound if `source` is not loaded, or not in the store; ContractError if it was loaded under another
    contract; WorkbookError if the second reader cannot read it; StoreError, AwsError, WarehouseError. Without `source`,
    a workbook that is not in the store, cannot be read or has another contract is a difference in its report.
    """
    require()
    progress = progress or NoProgress()
    bindings = Bindings.of(environment.folder)
    with environment.warehouse.connect(read_only=True) as connection:
        entries = _entries(connection, environment, source)
        signer = _signer(environment, kms_key)  # before the work, and only if something is loaded: it may make the key
        progress.step("verifying")
        certifier = _Certifier(environment, connection, verified(connection), signer, progress)
        reports: list[Certification] = []
        for entry in entries:
            try:
                under = bindings.contract_of_load(entry.source, entry.contract, entry.contract_hash, contract)
                reports.append(certifier.certify(entry, under))
            except (ContractError, SourceNotFound, WorkbookError) as error:
                if source is not None:
                    raise
                reports.append(certifier.report(entry, _failed(entry, f"{error}. {error.hint}")))
    return reports


@dataclass(frozen=True)
class _Certifier:
    """Certifies workbooks of one snapshot of the warehouse."""

    environment: Environment
    connection: Connection
    verification: VerifyReport
    signer: Signer
    progress: Progress

    def certify(self, entry: Entry, contract: Contract) -> Certification:
        """Compare one workbook with its load, and sign the certificate if all agrees."""
        started = time.monotonic()
        certificate = ""
        with self.environment.store.snapshot(entry.source, progress=self.progress) as snapshot:
            if snapshot.content_hash != entry.content_hash:
                here, there = snapshot.content_hash, entry.content_hash
                reason = f"its SHA-256 is {here}, that of the loaded one is {there}"
                found = _failed(entry, f"the workbook was changed after its load: {reason}", here, there)
            else:
                found, document = self._compared(entry, contract, snapshot)
                if not found.different and self.verification.ok:
                    certificate = _signed(self.environment, snapshot, entry, document, self.signer)
        return self.report(entry, found, certificate, time.monotonic() - started)

    def report(self, entry: Entry, found: Comparison, certificate: str = "", seconds: float = 0.0) -> Certification:
        return Certification(
            ok=bool(certificate),
            source=entry.source,
            load_id=entry.load_id,
            content_hash=entry.content_hash,
            table=f"bronze.{entry.table_name}",
            rows=found.rows,
            cells=found.cells,
            different=found.different,
            differences=tuple(found.differences),
            verification=self.verification,
            certificate=certificate,
            key=self.signer.public_key.sha256 if certificate else "",
            seconds=round(seconds, 3),
        )

    def _compared(self, entry: Entry, contract: Contract, snapshot: Snapshot) -> tuple[Comparison, bytes]:
        """Compare a workbook with the warehouse. Return what was found, and the statement for the certificate."""
        from retailpipe.certifying.comparison import Comparer
        from retailpipe.certifying.layout import opened_tables
        from retailpipe.certifying.statement import described, encoded, statement
        from retailpipe.certifying.stored import StoredRows, correction_loads, rejected_rows, stored_columns

        self.progress.step(f"reading {entry.source} again", unit="rows", total=entry.rows_read)
        with opened_tables(snapshot.path, snapshot.key, contract) as tables:

            def rows_of(load_id: int) -> StoredRows:
                return StoredRows(
                    self.connection,
                    entry.table_name,
                    load_id,
                    stored_columns(contract.columns),
                    several_sheets=contract.several_sheets,
                    sheet=tables[0].name,
                )

            corrections = correction_loads(self.connection, entry.load_id)
            _check_contracts(entry, corrections)
            corrected: dict[tuple[str, int, int], tuple[str | None, ...]] = {}
            digests: dict[int, str] = {}
            for each in corrections:
                loaded = rows_of(each.load_id)
                corrected |= {(row.sheet, row.row, each.load_id): row.values for row in loaded}
                digests[each.load_id] = loaded.digest()
            rows, rejected = rows_of(entry.load_id), rejected_rows(self.connection, entry)
            found = Comparer(entry.source, tables, self.progress).compare(iter(rows), rejected, corrected)
        _compare_with_ledger(entry, found)
        document = statement(
            self.environment.store.address, snapshot, entry, contract, tables, found, rows.digests(), self.verification
        )
        document["predicate"]["corrections"] = described(corrections, digests)
        return found, encoded(document)


def _compare_with_ledger(entry: Entry, found: Comparison) -> None:
    """Add the differences between the rows that were found and those that the ledger records."""
    for what, counted, recorded in (
        ("read", found.rows.in_workbook, entry.rows_read),
        ("loaded", found.rows.in_bronze, entry.rows_loaded),
        ("rejected", found.rows.in_quarantine, entry.rows_rejected),
        ("corrected", found.rows.corrected, entry.rows_corrected),
    ):
        if counted != recorded:
            reason = f"the ledger has {recorded:,} rows {what}, but there are {counted:,}"
            found.add(Difference("workbook", entry.source, "", "", f"{counted}", f"{recorded}", reason))


def _check_contracts(entry: Entry, corrections: Sequence[CorrectionLoad]) -> None:
    """Raise ContractError if rows were corrected under another contract: a certificate is about one contract."""
    for each in corrections:
        if each.contract_hash != entry.contract_hash:
            raise ContractError(
                f"load {each.load_id} corrected rows of {entry.source} under another contract than it was loaded under",
                hint=f"Load all its rows under one: `retailpipe ingest {shlex.quote(entry.source)}`.",
            )


def _failed(entry: Entry, reason: str, here: str = "", there: str = "") -> Comparison:
    """What is found if a workbook cannot be compared. here, there: values of the workbook and of the warehouse."""
    from retailpipe.certifying.comparison import Comparison

    found = Comparison(Rows(), Cells())
    found.add(Difference("workbook", entry.source, "", "", here, there, reason))
    return found


def _signed(environment: Environment, snapshot: Snapshot, entry: Entry, document: bytes, signer: Signer) -> str:
    """Sign a statement and keep the certificate, with its public key beside it. Return the certificate's file."""
    from retailpipe.certifying.envelope import sealed, signed_bytes

    public = signer.public_key
    content = sealed(document, public.sha256, signer.sign(signed_bytes(document)))
    file = certificate_file(environment.folder, entry.source, entry.load_id)
    try:
        make_folder(environment.folder)
        file.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot write {file}: {error.strerror}", hint="Check the permissions of the folder."
        ) from error
    write_file(public_key_file(environment.folder, public.sha256), public.pem.encode())
    write_file(file, content)
    environment.store.keep_certificate(snapshot, content)
    return str(file)


def _entries(connection: Connection, environment: Environment, source: str | None) -> list[Entry]:
    loads = current_loads(connection) if schema.has_schema(connection) else {}
    if not loads:
        raise NothingLoaded
    if source is None:
        return [loads[key] for key in sorted(loads)]
    found = loads.get(source) or loads.get(f"{INPUT}{source}")
    if found is None:
        raise SourceNotFound(
            f"{source} is not loaded in {environment.store.address}",
            hint="List the loaded workbooks with `retailpipe status`.",
        )
    return [found]


def _signer(environment: Environment, kms_key: str | None) -> Signer:
    from retailpipe.certifying.keys import EnvironmentKey
    from retailpipe.certifying.kms import KmsKey

    if kms_key is None:
        return EnvironmentKey.of(environment.folder)
    if environment.stack is None:
        raise UsageError("a KMS key signs only certificates of a stack", hint="Add --stack NAME, or leave out --kms.")
    return KmsKey(environment.stack.aws, kms_key)


def require() -> None:
    """Raise UsageError if the extra `certify` is not installed."""
    if find_spec("cryptography") is None or find_spec("openpyxl") is None:
        raise UsageError("certificates need openpyxl and cryptography, which are not installed", hint=_EXTRA)
