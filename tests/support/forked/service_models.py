"""Read botocore's descriptions of AWS services once per process.

boto3 reads them again for each session, which takes 10 to 150 ms per service, and each test has sessions of its own.
"""

from functools import cache
from typing import Any

from botocore.loaders import JSONFileLoader

_load_file = JSONFileLoader.load_file


@cache
def _loaded(path: str) -> Any:
    return _load_file(JSONFileLoader(), path)


def read_once() -> None:
    """Have every session of this process share what it reads."""
    JSONFileLoader.load_file = lambda self, file_path: _loaded(file_path)
