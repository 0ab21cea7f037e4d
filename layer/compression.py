"""Compressed streams, read and written; which compressions there are.

Reading is in `layer.decompression`, writing in `layer.parallel`; both are imported when first needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from core.errors import InvalidInput
from layer.pipeline import Readable

KINDS = ("gzip", "bzip2", "xz", "zstd", "none")
HEAD = 10
"""How many bytes `detect` wants to see, at most."""


class Compressor(Protocol):
    """Compresses what is written into a sink. `close` writes the rest; the sink stays open."""

    def write(self, data: bytes | memoryview, /) -> None: ...
    def close(self) -> None: ...


def detect(head: bytes) -> str:
    """What the first bytes of a stream (10 are enough) say: "gzip", "bzip2", "xz", "zstd" or "none"."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd"
    return "none"


def decompressor(stream: Readable, kind: str | None = None) -> Readable:
    """`stream` decompressed; `kind` as from `detect`, found out when None. Closes nothing.

    Several members or frames in a row are one stream; zeros after the last are ignored (not in zstd). Reading raises Integrity for
    bytes that are damaged, cut short or followed by something else. Memory is bounded whatever the stream claims.
    """
    head = b""
    if kind is None:
        while len(head) < HEAD and (data := stream.read(HEAD - len(head))):
            head += data
        kind = detect(head)
    if kind not in KINDS:
        raise InvalidInput(f"unknown compression: {kind!r}", f"one of {', '.join(KINDS)}")
    from layer import decompression

    return decompression.reader(stream, kind, head)


def whole(stream: Readable, kind: str | None = None) -> Readable:
    """`stream` decompressed as by `decompressor`, whose end is not told before `stream` has come to its own: what a
    decompressor does not look at belongs to the digest of the compressed bytes too."""
    from layer.decompression import Whole

    return Whole(decompressor(stream, kind), stream)


def compressor(
    kind: str, sink: Callable[[bytes], object], *, level: int | None = None, threads: int | None = None
) -> Compressor:
    """A compressor of `kind` "gzip", "zstd" or "none" that writes to `sink`, from the thread that writes to it.

    The same input and level give the same bytes, whatever `threads` is (None: one a core) and however the input is cut
    into pieces. Default levels: gzip 1 (0 to 3 by isal, up to 9 by zlib), zstd 3. Raises InvalidInput for another kind
    or level.
    """
    from layer import parallel

    if kind == "none":
        return parallel.Through(sink)
    method = parallel.method(kind, level)
    return parallel.Parallel(method, sink, threads or len(os.sched_getaffinity(0)))
