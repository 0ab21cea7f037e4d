"""Compressed streams, read and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.errors import Unsupported
from layer.pipeline import Readable


class Compressor(Protocol):
    """Compresses what is written into a sink. `close` writes the rest; the sink stays open."""

    def write(self, data: bytes | memoryview, /) -> None: ...
    def close(self) -> None: ...


def detect(head: bytes) -> str:
    """What the first bytes of a stream (6 are enough) say: "gzip", "bzip2", "xz", "zstd" or "none"."""
    raise Unsupported("not yet")


def decompressor(stream: Readable, kind: str | None = None) -> Readable:
    """`stream` decompressed; `kind` as from `detect`, found out when None. Damage raises Integrity. Closes nothing."""
    raise Unsupported("not yet")


def compressor(kind: str, sink: Callable[[bytes], object], *, level: int | None = None, threads: int = 2) -> Compressor:
    """A compressor of `kind` "gzip", "zstd" or "none"; the same input gives the same bytes whatever `threads` is."""
    raise Unsupported("not yet")
