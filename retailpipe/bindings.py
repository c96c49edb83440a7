"""The contracts of an environment: files in `contracts/`, each chosen by the names of its workbooks (`files`)."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retailpipe.contract import Contract
from retailpipe.errors import ContractError
from retailpipe.paths import exists, is_file

FOLDER = "contracts"
_BUILT_IN = Path(__file__).with_name("contracts") / "online_retail.toml"
"""The file of the default contract, which has a name on the command line too: that of the ledger and of messages."""


@dataclass(frozen=True)
class Bindings:
    """The contracts of an environment, each with its file."""

    contracts: Sequence[tuple[Path, Contract]]

    @classmethod
    def of(cls, folder: Path) -> Bindings:
        """Read the contracts in the environment's folder.

        Raises ContractError if one of them cannot be read, or is not a regular file: it may be the one for a workbook,
        which would be loaded under another contract without it.
        """
        # A hidden file, such as an editor's lock file, is not a contract.
        files = [file for file in sorted((folder / FOLDER).glob("*.toml")) if not file.name.startswith(".")]
        for file in files:
            if not is_file(file):
                raise ContractError(
                    f"{file} is neither a regular file nor a link to one, so it is not a contract",
                    hint=f"Move it out of {file.parent}.",
                )
        return cls([(file, Contract.from_file(file)) for file in files])

    def contract_for(self, key: str) -> Contract | None:
        """The contract for a workbook, or None if `files` of no contract matches its name.

        Raises ContractError if several do.
        """
        found = [(file, contract) for file, contract in self.contracts if contract.takes(key)]
        if len(found) > 1:
            names = " and ".join(str(file) for file, _ in found)
            raise ContractError(
                f"{key} matches `files` of several contracts: {names}",
                hint="Make `files` of all but one of them narrower, or choose one with --contract.",
            )
        return found[0][1] if found else None

    def contract_of_load(self, key: str, name: str, fingerprint: str, given: Contract | None = None) -> Contract:
        """The contract that a workbook was loaded under, which must be the one that it has now.

        name, fingerprint: of the contract of its load. given: the contract that the user passed.
        Raises ContractError if it was loaded under another contract.
        """
        contract = given or self.contract_for(key) or Contract.default()
        if contract.fingerprint == fingerprint:
            return contract
        if contract.name == name:
            raise ContractError(
                f"{key} was loaded under another version of contract {name!r}",
                hint=f"Load it again with `retailpipe ingest {shlex.quote(key)}`, or pass the earlier version with "
                "--contract.",
            )
        raise ContractError(
            f"{key} was loaded under contract {name!r}, not {contract.name!r}",
            hint=f"Pass its contract with --contract. Commands find it without this option in `{FOLDER}/` of the "
            "environment, if its key `files` matches the workbook's name.",
        )


def named_contract(name: str | Path, folder: Path) -> Contract:
    """The contract in a file or, if there is none, the one with this name in the environment, or the built-in one.

    Raises ContractError.
    """
    return Contract.from_file(contract_file(name, folder))


def contract_file(name: str | Path, folder: Path) -> Path:
    """The file of the contract that `named_contract` returns. Raises ContractError."""
    file = Path(name)
    kept = folder / FOLDER / (file.name if file.suffix == ".toml" else f"{file.name}.toml")
    if exists(file) or file.name != str(name):
        return file
    if not exists(kept) and kept.name == _BUILT_IN.name:
        return _BUILT_IN
    if not exists(kept):
        names = ", ".join(sorted(each.stem for each in kept.parent.glob("*.toml") if not each.name.startswith(".")))
        raise ContractError(
            f"there is no contract {name}: no file of this name, and none in {kept.parent}",
            hint=f"The contracts there are {names}."
            if names
            else "Draft one with `retailpipe contract init FILE --save`.",
        )
    return kept
