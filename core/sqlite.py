"""SQLite as the standard library has it, less what `sqlite3` loads for dates: `datetime` takes longer than most commands
spend in the database. The very objects of `sqlite3`, so that either may be used beside the other."""

from _sqlite3 import (
    SQLITE_FULL,
    SQLITE_IOERR,
    Connection,
    Cursor,
    DatabaseError,
    IntegrityError,
    OperationalError,
    Row,
    complete_statement,
    connect,
)

__all__ = [
    "SQLITE_FULL", "SQLITE_IOERR", "Connection", "Cursor", "DatabaseError", "IntegrityError", "OperationalError", "Row",
    "complete_statement", "connect",
]  # fmt: skip
