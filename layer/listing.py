"""The listing of a foreign layer's directory: written at unpack, checked by fsck."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from core.errors import Unsupported


def write_listing(
    directory: Path, write: Callable[[bytes], object], digests: Mapping[bytes, bytes] | None = None
) -> int:
    """One line an entry of `directory` (path, type, mode, ids, size, mtime, sha256, xattrs), sorted; returns the count.

    `digests` (from apply_layer) saves reading the files again.
    """
    raise Unsupported("not yet")


def verify(directory: Path, listing: Iterable[bytes]) -> list[str]:
    """What differs between `directory` and the lines of its listing, one sentence each; empty when nothing does.

    An open binary file is a fine `listing`. Stops after 100 differences.
    """
    raise Unsupported("not yet")
