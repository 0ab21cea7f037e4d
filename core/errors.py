"""One base error and six families. Concrete errors sit beside the code that raises them.

A family says what the caller can do about it: look elsewhere (NotFound), resolve who is in the way (Conflict), correct
the input (InvalidInput), distrust the bytes (Integrity), try again (Unavailable), or do without (Unsupported).
"""

from __future__ import annotations


class LamellaError(Exception):
    """What went wrong and where, in one line; `hint` says what to do next, in one line or not at all."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotFound(LamellaError):
    """The thing that was named does not exist."""


class Conflict(LamellaError):
    """Something else holds, uses or already is the thing."""


class InvalidInput(LamellaError):
    """The input is malformed or contradicts itself; trying again changes nothing."""


class Integrity(LamellaError):
    """Bytes are not what their digest, size or record says."""


class Unavailable(LamellaError):
    """A disk, server or process did not do its part; worth trying again."""


class Unsupported(LamellaError):
    """This machine, runtime or version cannot do it."""
