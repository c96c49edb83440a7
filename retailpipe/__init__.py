"""An Excel workbook of retail transactions into PostgreSQL: bronze over Arrow, silver and gold with dbt.

    import retailpipe

    environment = retailpipe.Environment.local("shop")
    report = retailpipe.run(environment, "online_retail.xlsx")

Importing this module is quick: Arrow, the database driver, the reader and dbt are imported when they are first used.
"""

from __future__ import annotations

from retailpipe.check import check
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError
from retailpipe.pipeline import ingest, query, run, upload
from retailpipe.progress import Progress
from retailpipe.reports import BuildReport, CheckReport, LoadReport, VerifyReport
from retailpipe.transform import transform
from retailpipe.verify import verify

__all__ = [
    "BuildReport",
    "CheckReport",
    "Contract",
    "Environment",
    "LoadReport",
    "Progress",
    "RetailpipeError",
    "VerifyReport",
    "check",
    "ingest",
    "query",
    "run",
    "transform",
    "upload",
    "verify",
]

__version__ = "0.1.0"
