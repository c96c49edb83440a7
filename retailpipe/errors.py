"""The errors that retailpipe raises.

RetailpipeError
├── UsageError            an argument or a setting is wrong
│   ├── SettingsError     the config of a stack is wrong
│   └── ClassError        a class file, a roster, a rubric or a submission is wrong
├── ContractError         a contract file is wrong, or its table has other columns
├── StoreError            a workbook cannot be written to the store or read from it
│   ├── SourceNotFound    no file and no key of the store has that name
│   └── ReplacementNeeded the store has another content under that name
├── WorkbookError         a file is not a workbook (.xlsx or .csv), is damaged, or cannot be read
│   └── SheetError        no sheet, or more than one, matches the contract
├── LoadError             a workbook can be read but was not loaded
│   ├── TooManyRejects    more rows break the contract than it allows
│   ├── DuplicateContent  the same content is loaded under another name
│   │   └── DuplicateRows other workbooks hold too many of its rows
│   └── SomeNotLoaded     some of several workbooks failed
├── WarehouseError        the database cannot be reached, or a statement failed
│   ├── NothingLoaded     no workbook is loaded, so there is nothing to build or to verify
│   ├── SchemaError       schema bronze is of a newer version or another program
│   └── ServerError       the embedded PostgreSQL server cannot be created, started or stopped
├── TraceError            the rows of bronze do not give a figure, or a cell is not found
├── WorkersError          workers cannot be reached, were lost, or run other versions
├── TransformError        dbt could not run
├── AwsError              AWS refused a request, or cannot be reached
│   └── StackNotFound     the stack does not exist in that account and region
├── UnknownPrice          the price file has no price for a resource
└── OutputsError          the outputs of a stack are missing, or of another version

Each has a `hint`: what to do next, or an empty text. A command in a hint is in backquotes; the command line
prints it with the options of the environment.
"""

from __future__ import annotations

from collections.abc import Mapping

HEADER_CELLS = "the cells of this row are"
"""Words in the message of a SheetError if the header row does not fit the contract, and in no other message."""


class RetailpipeError(Exception):
    """The base class of all errors of this library.

    `str(error)` says what failed and where; `error.hint` says what to do next, or is empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(RetailpipeError):
    """An argument or a setting is wrong."""

    exit_code = 2


class ContractError(RetailpipeError):
    """A contract file is wrong: the message names the file and the line. Or its table in bronze has other columns."""


class StoreError(RetailpipeError):
    """A workbook cannot be written to the store or read from it."""


class SourceNotFound(StoreError):
    """No file and no key of the store has the given name."""


class ReplacementNeeded(StoreError):
    """The store has a workbook of that name with another content, which would be replaced."""


class WorkbookError(RetailpipeError):
    """A file is not a workbook (.xlsx or .csv), is damaged, or cannot be read."""


class SheetError(WorkbookError):
    """No sheet of the workbook, or more than one, matches the contract."""


class LoadError(RetailpipeError):
    """A workbook can be read, but was not loaded."""


class TooManyRejects(LoadError):
    """More rows break the contract than it allows; nothing was loaded."""


class DuplicateContent(LoadError):
    """The same content is already loaded under another name."""


class DuplicateRows(DuplicateContent):
    """More rows of a workbook than the contract allows are already loaded from other workbooks."""


class WarehouseError(RetailpipeError):
    """The database cannot be reached, or a statement failed.

    transient: whether a retry may succeed later: the database is stopped, the network is down, the disk is full.
    copied: the place of a value of a COPY that PostgreSQL refused: its row in the COPY (from 1) and its column; None
        for other errors.
    sqlstate: PostgreSQL's code of the error; empty if it is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        transient: bool = False,
        copied: tuple[int, str] | None = None,
        sqlstate: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.transient = transient
        self.copied = copied
        self.sqlstate = sqlstate


class NothingLoaded(WarehouseError):
    """No workbook is loaded, so there is nothing to build or to verify."""

    def __init__(
        self, message: str = "nothing is loaded", *, hint: str = "Load a workbook with `retailpipe run FILE`."
    ) -> None:
        super().__init__(message, hint=hint)


class SchemaError(WarehouseError):
    """Schema bronze was created by a newer version or another program."""


class ServerError(WarehouseError):
    """The embedded PostgreSQL server cannot be created, started or stopped."""


class TraceError(RetailpipeError):
    """A figure cannot be traced: the rows of bronze do not give it, or its table has no such row. Or a cell is not in a
    workbook that is loaded."""


class WorkersError(RetailpipeError):
    """The workers that load workbooks cannot be reached, were lost, or run other versions than this program."""


class TransformError(RetailpipeError):
    """dbt could not run at all. Models and tests that fail are in the BuildReport instead."""


class OutputsError(RetailpipeError):
    """The outputs of a stack are missing, incomplete, or were written by another version of the program."""


class AwsError(RetailpipeError):
    """AWS refused a request, or cannot be reached.

    code: AWS's error code, such as NoSuchBucket; empty if there was no response from AWS.
    transient: whether a retry may succeed later: the network is down, or AWS is throttling requests.
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "", transient: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.transient = transient


class StackNotFound(AwsError):
    """No stack of that name exists in the AWS account and region, or in Pulumi's backend."""


class UnknownPrice(RetailpipeError):
    """The price file has no price for a resource of the stack."""


class SettingsError(UsageError):
    """The config of a stack is wrong. The message lists every mistake with the command that fixes it.

    mistakes: the reason of each mistake by the name of its setting; empty if the error is about something else.
    """

    def __init__(self, message: str, *, hint: str = "", mistakes: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.mistakes = dict(mistakes or {})


class ClassError(UsageError):
    """A class file, a roster, a rubric or a submission is wrong.

    The message lists every mistake with its file and line.
    """
