"""Every error retailpipe raises.

RetailpipeError
├── UsageError            a wrong argument or setting
├── ContractError         the contract file is wrong
├── StoreError            a workbook cannot be put into the store or taken from it
│   └── SourceNotFound
├── WorkbookError         the file is no workbook that can be read
│   └── SheetError        no sheet, or no single sheet, fits the contract
├── LoadError             the workbook can be read but is not loaded
│   ├── TooManyRejects
│   ├── DuplicateContent
│   └── SomeNotLoaded
├── WarehouseError        the database cannot be reached, or refused
│   ├── SchemaError       schema bronze is newer, foreign, or shaped otherwise
│   └── ServerError       the embedded PostgreSQL does not start
├── TransformError        dbt could not run
├── AwsError              AWS refused, or cannot be reached
│   └── StackNotFound     there is no such stack where it was looked for
├── UnknownPrice          the price file does not know what is asked for
├── OutputsError          the outputs of a stack are missing, or of another version
└── SettingsError         the config of a stack is wrong

Each carries a `hint`: what to do next. A command in a hint stands between backquotes and can be typed as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class RetailpipeError(Exception):
    """The base of all errors of this library.

    `str(error)` names the thing and its place; `error.hint` names what to do next, or is empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(RetailpipeError):
    """An argument or a setting is wrong."""

    exit_code = 2


class ContractError(RetailpipeError):
    """A contract file is wrong; the message names the file and the line."""


class StoreError(RetailpipeError):
    """A workbook cannot be put into the store, or taken from it."""


class SourceNotFound(StoreError):
    """Neither a file nor a key of the store has the name given."""


class WorkbookError(RetailpipeError):
    """A file is no xlsx workbook, is damaged, or cannot be read."""


class SheetError(WorkbookError):
    """No sheet of the workbook, or more than one, fits the contract."""


class LoadError(RetailpipeError):
    """A workbook was read, but its rows are not loaded."""


class TooManyRejects(LoadError):
    """More rows break the contract than it allows; nothing was loaded."""


class DuplicateContent(LoadError):
    """The same content is already loaded under another name."""


class WarehouseError(RetailpipeError):
    """The database cannot be reached, or refused a statement.

    transient: whether it may be otherwise in a minute: a database that is stopped, a network that is down, a full disk.
    copied: of a value that a COPY refused, the number of its row, from 1, and the name of its column; else None.
    """

    def __init__(
        self, message: str, *, hint: str = "", transient: bool = False, copied: tuple[int, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.transient = transient
        self.copied = copied


class SchemaError(WarehouseError):
    """Schema bronze was made by a newer version, by another program, or for another contract."""


class ServerError(WarehouseError):
    """The embedded PostgreSQL cannot be made, started or stopped."""


class TransformError(RetailpipeError):
    """dbt could not run at all. Models or tests that fail are told in a BuildReport instead."""


class OutputsError(RetailpipeError):
    """The outputs of a stack are missing, incomplete, or were made by another version of the program."""


class AwsError(RetailpipeError):
    """AWS refused something, or cannot be reached.

    code: AWS's own name for it, such as NoSuchBucket; empty where AWS did not answer.
    transient: whether it may be otherwise in a minute: a network that is down, an AWS that asks for patience.
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "", transient: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.transient = transient


class StackNotFound(AwsError):
    """There is no stack of that name in the account and region, or in Pulumi's backend."""


class UnknownPrice(RetailpipeError):
    """The price file does not know what a stack uses."""


class SettingsError(UsageError):
    """The config of a stack is wrong; the message lists every mistake with the command that mends it."""
