"""The part of the ADBC driver that retailpipe uses."""

from adbc_driver_manager import AdbcDatabase

def connect(uri: str) -> AdbcDatabase: ...
