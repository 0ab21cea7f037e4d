"""`.dockerignore` and `COPY --exclude`: which paths of a context are not there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ignore:
    """Rules in order; the last that matches a path, or a directory above it, decides."""

    @classmethod
    def parse(cls, data: bytes, name: str = ".dockerignore") -> Ignore:
        """The rules of an ignore file. Raises InvalidInput with the line."""
        return cls()
