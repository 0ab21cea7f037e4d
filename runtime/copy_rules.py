"""Where `cp` puts what it copies: Docker's rules on trailing slashes, `SRC/.` and destinations that are there. No I/O."""

from __future__ import annotations

import posixpath

from core.errors import InvalidInput
from core.value import Value


class End(Value):
    """A source or a destination: its path as it was typed, and what is there."""

    path: str
    exists: bool = True
    is_directory: bool = False

    @property
    def base(self) -> str:
        """Its last name; `.` where it names what is in a directory."""
        return posixpath.basename(self.path.rstrip("/")) or "."


def asserts_directory(path: str) -> bool:
    """Whether `path` is written as that of a directory."""
    return path.endswith(("/", "/.")) or path in (".", "..")


def target(source: End, destination: End) -> str:
    """The path that the source itself gets. Raises InvalidInput where nothing sensible can come of it."""
    if not source.is_directory and asserts_directory(source.path):
        raise InvalidInput(f"{source.path}: not a directory", "leave out the slash at its end")
    if destination.exists and destination.is_directory:
        return destination.path if source.base in (".", "..") else posixpath.join(destination.path, source.base)
    if destination.exists and source.is_directory:
        raise InvalidInput("cannot copy directory", f"{destination.path} is a file")
    if destination.exists and asserts_directory(destination.path):
        raise InvalidInput(f"{destination.path}: not a directory", "leave out the slash at its end")
    if not source.is_directory and asserts_directory(destination.path):
        raise InvalidInput("no such directory", f"make {destination.path} first, or leave out the slash at its end")
    return posixpath.normpath(destination.path)
