"""The build context: a directory, seen through its ignore rules, that COPY and ADD take their sources from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from builder.dockerfile.ignore import Ignore


class FileDigests(Protocol):
    """Remembered sha256 of files, keyed by (device, inode, size, mtime_ns, ctime_ns)."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file or directory that a COPY or ADD named: `name` relative to the context (clean, no leading slash, "" for the
    context itself), `path` on this host with links followed inside the context, `wanted` as the Dockerfile wrote it."""

    name: str
    path: Path
    wanted: str
    is_directory: bool


class Context:
    @classmethod
    def local(cls, directory: Path, ignore: Ignore, digests: FileDigests | None = None) -> Context:
        raise ValueError(directory)

    def select(self, sources: Sequence[str]) -> list[Source]:
        """What the sources of one COPY or ADD name, wildcards resolved, in their order. Raises NotFound."""
        raise ValueError(sources)
