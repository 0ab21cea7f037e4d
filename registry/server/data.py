"""The registry's directory, opened: by a server, or by a command beside it."""

from __future__ import annotations

from pathlib import Path

from core.files import make_directories
from registry.server.metadata.sqlite import SqliteMetadata
from registry.server.storage.disk import DiskRegistryBlobs

DATABASE = "registry.db"


def open_data(data: Path, *, sync: bool = True) -> tuple[SqliteMetadata, DiskRegistryBlobs]:
    """What is kept below `data`, which is made when missing. Raises what `core.database.Database` raises."""
    make_directories(data, 0o700)
    return SqliteMetadata(data / DATABASE, sync=sync), DiskRegistryBlobs(data, sync=sync)
