"""The part of pyarrow.csv that retailpipe uses."""

from collections.abc import Callable, Sequence
from typing import Literal

from pyarrow import DataType, PythonFile, RecordBatchReader

class InvalidRow:
    number: int
    actual_columns: int
    text: str

class ReadOptions:
    def __init__(self, *, use_threads: bool, block_size: int, column_names: Sequence[str]) -> None: ...

class ParseOptions:
    def __init__(
        self,
        *,
        delimiter: str,
        newlines_in_values: bool,
        ignore_empty_lines: bool,
        invalid_row_handler: Callable[[InvalidRow], Literal["skip", "error"]],
    ) -> None: ...

class ConvertOptions:
    def __init__(self, *, column_types: dict[str, DataType], strings_can_be_null: bool, check_utf8: bool) -> None: ...

def open_csv(
    input_file: PythonFile,
    *,
    read_options: ReadOptions,
    parse_options: ParseOptions,
    convert_options: ConvertOptions,
) -> RecordBatchReader: ...
