"""A layer's directory as a deterministic tar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import Unsupported
from image.digest import DiffID, Digest

PACK_VERSION = 1


@dataclass(frozen=True, slots=True)
class Packed:
    """What one pass over a directory found out: `size` is the tar's bytes, `content` the digest of all but times."""

    diff_id: DiffID
    size: int
    entries: int
    content: Digest


def pack(directory: Path, write: Callable[[bytes | memoryview], object] | None = None) -> Packed:
    """The overlay-format `directory` as a tar, given to `write` piece by piece and hashed on the way.

    Raises InvalidInput for what a layer cannot hold, Integrity when a file changes meanwhile.
    """
    raise Unsupported("not yet")


def stream(directory: Path, write: Callable[[bytes | memoryview], object]) -> DiffID:
    """The same tar without the content digest: half the hashing, for push and save. The caller compares the DiffID."""
    raise Unsupported("not yet")
