"""Compresses on all cores: the input is cut into chunks of a fixed size, each compressed by itself, written in order.

So the bytes depend on the input alone. gzip: one member whose deflate blocks end on byte boundaries (RFC 1951, RFC
1952), which every reader understands; each chunk may refer to the 32 KiB before it, and what cannot be made smaller is
stored as it is (`layer.incompressible`) at the levels that are there to be quick. zstd: one frame a chunk (RFC 8878).
The chunk sizes and levels are part of what makes pushes repeatable: changing them changes digests.
"""

from __future__ import annotations

import queue
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from core.errors import InvalidInput
from layer.incompressible import stored, stretches

Sink = Callable[[bytes], object]
_WINDOW = 32 << 10


class Method(Protocol):
    """How one chunk is compressed. `compress` runs in threads; `begin`, `add` and `end` in order in the writer's."""

    chunk: int

    def begin(self) -> bytes: ...
    def compress(self, data: bytes, before: bytes) -> tuple[bytes, int]: ...
    def add(self, check: int, size: int) -> None: ...
    def end(self) -> bytes: ...


def method(kind: str, level: int | None) -> Method:
    """The method of that name. Raises InvalidInput."""
    if kind == "gzip" and (level is None or 0 <= level <= 9):
        return _Gzip(1 if level is None else level)
    if kind == "zstd" and (level is None or 1 <= level <= 22):
        return _Zstd(3 if level is None else level)
    if kind in ("gzip", "zstd"):
        raise InvalidInput(f"no such {kind} level: {level}", "gzip has 0 to 9, zstd 1 to 22")
    raise InvalidInput(f"cannot compress as {kind!r}", "one of gzip, zstd, none")


class Through:
    """No compression."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes | memoryview, /) -> None:
        self._sink(data if isinstance(data, bytes) else bytes(data))

    def close(self) -> None:
        """Nothing is held back."""


class _Job:
    __slots__ = ("before", "check", "data", "done", "error", "out", "size")

    def __init__(self, data: bytes, before: bytes) -> None:
        self.data = data
        self.before = before
        self.size = len(data)
        self.out = b""
        self.check = 0
        self.error: BaseException | None = None
        self.done = threading.Event()


class Parallel:
    """Chunks to worker threads, results to the sink in order; at most two chunks a thread are under way.

    `close` must be called; when writing fails, the threads end by themselves. Harmless to repeat.
    """

    def __init__(self, method: Method, sink: Sink, threads: int) -> None:
        self._method = method
        self._sink = sink
        self._threads = threads
        self._workers: list[threading.Thread] = []
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._running: deque[_Job] = deque()
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._before = b""
        self._begun = False
        self._closed = False

    def write(self, data: bytes | memoryview, /) -> None:
        try:
            self._write(data)
        except BaseException:
            self._end()
            raise

    def _write(self, data: bytes | memoryview) -> None:
        chunk = self._method.chunk
        while self._size + len(data) >= chunk:
            room = chunk - self._size
            self._parts.append(data[:room] if len(data) > room else data)
            self._cut()
            data = memoryview(data)[room:]
        if data:
            self._parts.append(bytes(data))
            self._size += len(data)

    def close(self) -> None:
        if self._closed:
            return
        try:
            if self._size:
                self._cut()
            while self._running:
                self._take()
            if not self._begun:
                self._sink(self._method.begin())
            rest = self._method.end()
            if rest:
                self._sink(rest)
        finally:
            self._end()

    def __del__(self) -> None:
        self._end()

    def _end(self) -> None:
        self._closed = True
        for _ in self._workers:
            self._jobs.put(None)
        self._workers.clear()

    def _cut(self) -> None:
        """Hand out what has been gathered as one chunk."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        job = _Job(data, self._before)
        self._before = data[-_WINDOW:]
        self._running.append(job)
        if len(self._workers) < min(self._threads, len(self._running)):
            worker = threading.Thread(target=_work, args=(self._jobs, self._method), name="compress", daemon=True)
            worker.start()
            self._workers.append(worker)
        self._jobs.put(job)
        while len(self._running) > 2 * self._threads or (self._running and self._running[0].done.is_set()):
            self._take()

    def _take(self) -> None:
        job = self._running.popleft()
        job.done.wait()
        if job.error is not None:
            raise job.error
        if not self._begun:
            self._begun = True
            self._sink(self._method.begin())
        self._method.add(job.check, job.size)
        self._sink(job.out)


def _work(jobs: queue.SimpleQueue[_Job | None], method: Method) -> None:
    while (job := jobs.get()) is not None:
        try:
            job.out, job.check = method.compress(job.data, job.before)
        except BaseException as error:
            job.error = error
        job.data = job.before = b""
        job.done.set()


class _Gzip:
    """One gzip member of deflate blocks that each end with an empty stored block (a sync flush)."""

    chunk = 1 << 20

    def __init__(self, level: int) -> None:
        import zlib

        from isal import isal_zlib

        self._level = level
        self._quick = level <= 3
        self._codec = isal_zlib if self._quick else zlib
        self._crc32 = isal_zlib.crc32
        self._combine = isal_zlib.crc32_combine
        self._sync = isal_zlib.Z_SYNC_FLUSH
        self._check = 0
        self._size = 0

    def begin(self) -> bytes:
        return b"\x1f\x8b\x08\0\0\0\0\0\0\xff"

    def compress(self, data: bytes, before: bytes) -> tuple[bytes, int]:
        parts: list[bytes | memoryview] = []
        for start, end, worth in stretches(data) if self._quick else ((0, len(data), True),):
            if worth:
                piece = data if end - start == len(data) else memoryview(data)[start:end]
                parts += self._deflate(piece, data[max(0, start - _WINDOW) : start] or before)
            else:
                parts += stored(memoryview(data)[start:end])
        return b"".join(parts), self._crc32(data)

    def _deflate(self, data: bytes | memoryview, before: bytes) -> tuple[bytes, bytes]:
        options = {"zdict": before} if before else {}
        coder = self._codec.compressobj(self._level, 8, -15, **options)
        return coder.compress(data), coder.flush(self._sync)

    def add(self, check: int, size: int) -> None:
        self._check = self._combine(self._check, check, size)
        self._size += size

    def end(self) -> bytes:
        return b"\x03\0" + struct.pack("<II", self._check, self._size & 0xFFFFFFFF)


class _Zstd:
    chunk = 4 << 20

    def __init__(self, level: int) -> None:
        self._local = threading.local()
        self._level = level
        self._empty = True

    def begin(self) -> bytes:
        return b""

    def compress(self, data: bytes, before: bytes) -> tuple[bytes, int]:
        if not hasattr(self._local, "coder"):
            import zstandard

            self._local.coder = zstandard.ZstdCompressor(level=self._level, write_checksum=True)
        out: bytes = self._local.coder.compress(data)
        return out, 0

    def add(self, check: int, size: int) -> None:
        self._empty = False

    def end(self) -> bytes:
        return self.compress(b"", b"")[0] if self._empty else b""
