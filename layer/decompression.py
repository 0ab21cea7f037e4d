"""Reads compressed streams with bounded memory, and says so when they are damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, Protocol, cast

from core.errors import Integrity, Unsupported
from layer.pipeline import PIECE, Readable

_INPUT = 256 << 10


class Damaged(Integrity):
    """A compressed stream is not what its checksums or its format say."""


class _Decoder(Protocol):
    """One member or stream, as bz2, lzma and isal offer it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def reader(stream: Readable, kind: str, head: bytes) -> Readable:
    """`stream`, of which `head` has been read already, decompressed as `kind`."""
    source = Prefixed(head, stream)
    if kind == "none":
        return source
    if kind == "zstd":
        return _Zstd(source)
    return _Members(source, kind, *_decoder(kind))


def _decoder(kind: str) -> tuple[Callable[[], _Decoder], tuple[type[Exception], ...]]:
    if kind == "gzip":
        from isal import igzip_lib

        damaged: Any = igzip_lib.IsalError
        return lambda: igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP), (damaged,)
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor, (OSError, ValueError)
    import lzma

    limit = 256 << 20
    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limit), (lzma.LZMAError,)


class Whole:
    """A decompressed stream that at its end reads what is left of the compressed one `below`."""

    def __init__(self, stream: Readable, below: Readable) -> None:
        self._stream = stream
        self._below = below

    def read(self, n: int = -1, /) -> bytes:
        data = self._stream.read(n)
        if not data and n != 0:
            while self._below.read(PIECE):
                pass
        return data


class Prefixed:
    """`stream` with `head` put back before it."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, n: int = -1, /) -> bytes:
        if not self._head:
            return self._stream.read(n)
        if n < 0:
            data, self._head = self._head + self._stream.read(), b""
            return data
        data, self._head = self._head[:n], self._head[n:]
        return data


class _Reader:
    """What reading has in common: `_some(n)` gives at most `n` bytes, and none at the end only."""

    def _some(self, n: int) -> bytes:
        raise EOFError

    def read(self, n: int = -1, /) -> bytes:
        if n == 0:
            return b""
        if n > 0:
            return self._some(n)
        parts = []
        while data := self._some(PIECE):
            parts.append(data)
        return b"".join(parts)


class _Members(_Reader):
    """Members in a row, each with its own decoder."""

    def __init__(
        self, source: Readable, kind: str, fresh: Callable[[], _Decoder], errors: tuple[type[Exception], ...]
    ) -> None:
        self._source = source
        self._kind = kind
        self._fresh = fresh
        self._errors = errors
        self._decoder: _Decoder | None = fresh()
        self._started = False

    def _some(self, n: int) -> bytes:
        while self._decoder is not None:
            decoder = self._decoder
            data = b""
            if decoder.needs_input:
                data = self._source.read(_INPUT)
                if not data:
                    raise Damaged(f"the {self._kind} stream is cut short")
            try:
                out = decoder.decompress(data, n)
            except self._errors as error:
                what = "is damaged" if not self._started else "is damaged or followed by something else"
                raise Damaged(f"the {self._kind} stream {what}: {error}") from None
            if decoder.eof:
                self._decoder = self._next(decoder.unused_data)
                self._started = True
            if out:
                return out
        return b""

    def _next(self, rest: bytes) -> _Decoder | None:
        """A decoder for the next member, fed with nothing yet; None when only zeros are left."""
        while True:
            rest = rest.lstrip(b"\0")
            if rest:
                self._source = Prefixed(rest, self._source)
                return self._fresh()
            rest = self._source.read(_INPUT)
            if not rest:
                return None


class _Zstd(_Reader):
    def __init__(self, source: Readable) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._frames = _Frames(source)
        decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._stream = decoder.stream_reader(cast(IO[bytes], self._frames), read_size=_INPUT, read_across_frames=True)

    def _some(self, n: int) -> bytes:
        try:
            data: bytes = self._stream.read(n)
        except self._error as error:
            if "memory" in str(error):
                raise Unsupported(f"the zstd stream wants too large a window: {error}") from None
            raise Damaged(f"the zstd stream is damaged: {error}") from None
        if not data and not self._frames.complete:
            raise Damaged("the zstd stream is cut short")
        return data


class _Frames:
    """Passes a zstd stream on and follows its frames and blocks (RFC 8878 section 3.1), for `complete`.

    The library ends silently where the stream does, in the middle of a frame or not.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._rest = b""
        self._skip = 0
        self._state: Callable[[bytes], tuple[int, int]] = self._magic
        self._checksum = 0
        self._ended = False

    @property
    def complete(self) -> bool:
        """Whether what has passed ends where a frame ends."""
        return self._ended and not self._rest and not self._skip and self._state == self._magic

    def read(self, n: int = -1, /) -> bytes:
        data = self._source.read(n)
        self._ended = not data
        self._follow(data)
        return data

    def _follow(self, data: bytes) -> None:
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        view = self._rest + data[self._skip :] if self._skip else self._rest + data
        at = self._skip = 0
        while at < len(view):
            header, body = self._state(view[at : at + 18])
            if not header:
                break
            at += header + body
        self._rest = view[at:]
        self._skip = max(0, at - len(view))

    def _magic(self, head: bytes) -> tuple[int, int]:
        """(bytes of this header or none when more are needed, bytes that follow it)."""
        if len(head) < 8:
            return 0, 0
        if head[1:4] == b"\x2a\x4d\x18":
            return 8, int.from_bytes(head[4:8], "little")
        descriptor = head[4]
        single = descriptor >> 5 & 1
        content = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
        self._checksum = 4 if descriptor & 4 else 0
        self._state = self._block
        return 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3] + content, 0

    def _block(self, head: bytes) -> tuple[int, int]:
        if len(head) < 3:
            return 0, 0
        value = int.from_bytes(head[:3], "little")
        size = 1 if value >> 1 & 3 == 1 else value >> 3
        if value & 1:
            self._state = self._magic
            size += self._checksum
        return 3, size
