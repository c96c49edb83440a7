"""The reports that the steps return: frozen dataclasses. `str()` is for people, `as_dict()` for programs."""

from __future__ import annotations

from retailpipe.reports.builds import BuildReport, CheckPoint, CheckReport, Invariant, Node, RunReport, VerifyReport
from retailpipe.reports.contracts import ContractCheck, ContractDraft, Fault, SheetRead
from retailpipe.reports.corrections import CorrectionReport, RejectsFile
from retailpipe.reports.environments import EnvironmentReport, ForgetReport, Forgotten, Refusal, StatusReport
from retailpipe.reports.loads import LoadReport, LoadStatus, Overlap, Reject, Replaced, Replacement, SomeNotLoaded
from retailpipe.reports.pages import DocsFile, Published, ReportFile
from retailpipe.reports.report import Report, plain

__all__ = [
    "BuildReport",
    "CheckPoint",
    "CheckReport",
    "ContractCheck",
    "ContractDraft",
    "CorrectionReport",
    "DocsFile",
    "EnvironmentReport",
    "Fault",
    "ForgetReport",
    "Forgotten",
    "Invariant",
    "LoadReport",
    "LoadStatus",
    "Node",
    "Overlap",
    "Published",
    "Refusal",
    "Reject",
    "RejectsFile",
    "Replaced",
    "Replacement",
    "Report",
    "ReportFile",
    "RunReport",
    "SheetRead",
    "SomeNotLoaded",
    "StatusReport",
    "VerifyReport",
    "plain",
]
