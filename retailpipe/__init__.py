"""Load Excel workbooks of retail transactions into PostgreSQL: bronze over Arrow, silver and gold with dbt.

    import retailpipe

    environment = retailpipe.Environment.local("shop")
    report = retailpipe.run(environment, "online_retail.xlsx")

Importing this module is fast: Arrow, the database driver, the workbook reader and dbt are imported on first use.
"""

from __future__ import annotations

from retailpipe.builds import transform
from retailpipe.certifying import CertificateCheck, Certification, Difference, certify, check_certificate
from retailpipe.checks import check
from retailpipe.contract import Contract
from retailpipe.corrections import annotate_rejects, correct, replay, write_rejects
from retailpipe.dbt_docs import write_docs
from retailpipe.drafting import draft_contract
from retailpipe.environment import Environment
from retailpipe.errors import (
    AwsError,
    ClassError,
    ContractError,
    DuplicateContent,
    DuplicateRows,
    LoadError,
    NothingLoaded,
    OutputsError,
    ReplacementNeeded,
    RetailpipeError,
    SchemaError,
    ServerError,
    SettingsError,
    SheetError,
    SourceNotFound,
    StackNotFound,
    StoreError,
    TooManyRejects,
    TraceError,
    TransformError,
    UnknownPrice,
    UsageError,
    WarehouseError,
    WorkbookError,
    WorkersError,
)
from retailpipe.html_report import render_report, watch_report, write_report
from retailpipe.invariants import verify
from retailpipe.listing import environments
from retailpipe.odcs import ImportedContract, export_odcs, import_odcs
from retailpipe.pipeline import ingest, init, replacements, run, upload
from retailpipe.progress import Progress
from retailpipe.publishing import fetch_report, publish_reports
from retailpipe.queries import query, rejects, status
from retailpipe.reports import (
    BuildReport,
    CheckReport,
    ContractCheck,
    ContractDraft,
    CorrectionReport,
    DocsFile,
    EnvironmentReport,
    ForgetReport,
    Forgotten,
    LoadReport,
    Overlap,
    Published,
    Refusal,
    RejectsFile,
    Replaced,
    Replacement,
    ReportFile,
    RunReport,
    SomeNotLoaded,
    StatusReport,
    VerifyReport,
)
from retailpipe.store import Stored
from retailpipe.tracing import CellTrace, Trace, trace, trace_cell
from retailpipe.trial import check_contract
from retailpipe.undo import forget, restore

__all__ = [
    "AwsError",
    "BuildReport",
    "CellTrace",
    "CertificateCheck",
    "Certification",
    "CheckReport",
    "ClassError",
    "Contract",
    "ContractCheck",
    "ContractDraft",
    "ContractError",
    "CorrectionReport",
    "Difference",
    "DocsFile",
    "DuplicateContent",
    "DuplicateRows",
    "Environment",
    "EnvironmentReport",
    "ForgetReport",
    "Forgotten",
    "ImportedContract",
    "LoadError",
    "LoadReport",
    "NothingLoaded",
    "OutputsError",
    "Overlap",
    "Progress",
    "Published",
    "Refusal",
    "RejectsFile",
    "Replaced",
    "Replacement",
    "ReplacementNeeded",
    "ReportFile",
    "RetailpipeError",
    "RunReport",
    "SchemaError",
    "ServerError",
    "SettingsError",
    "SheetError",
    "SomeNotLoaded",
    "SourceNotFound",
    "StackNotFound",
    "StatusReport",
    "StoreError",
    "Stored",
    "TooManyRejects",
    "Trace",
    "TraceError",
    "TransformError",
    "UnknownPrice",
    "UsageError",
    "VerifyReport",
    "WarehouseError",
    "WorkbookError",
    "WorkersError",
    "annotate_rejects",
    "certify",
    "check",
    "check_certificate",
    "check_contract",
    "correct",
    "draft_contract",
    "environments",
    "export_odcs",
    "fetch_report",
    "forget",
    "import_odcs",
    "ingest",
    "init",
    "publish_reports",
    "query",
    "rejects",
    "render_report",
    "replacements",
    "replay",
    "restore",
    "run",
    "status",
    "trace",
    "trace_cell",
    "transform",
    "upload",
    "verify",
    "watch_report",
    "write_docs",
    "write_rejects",
    "write_report",
]

__version__ = "0.1.0"
