"""As much of the ADBC driver as retailpipe names."""

from adbc_driver_manager import AdbcDatabase

def connect(uri: str) -> AdbcDatabase: ...
