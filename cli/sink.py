"""Where a command writes an archive: stdout, or a file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import InvalidInput

Write = Callable[[bytes | memoryview], object]


@contextlib.contextmanager
def sink(output: str | None, *, sync: bool) -> Iterator[Write]:
    """Writes to the file `output` (which takes its name when the block ends well), or to stdout where it is None.

    What exists and is no regular file (a device, a pipe) is written to as it is. Raises InvalidInput for a bad path.
    """
    if output is None:
        yield _writer(1)
        return
    path = writable(output)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with path.open("wb", buffering=0) as file:
            yield _writer(file.fileno())
        return
    from core.files import atomic_file

    with atomic_file(path.resolve(), sync=sync) as file:
        yield _flushing(file.fileno()) if sync else _writer(file.fileno())


def writable(output: str) -> Path:
    """The path of a file that can be written, as far as can be seen now. Raises InvalidInput."""
    path = Path(output)
    if path.is_dir() or not path.absolute().parent.is_dir():
        why = "it is a directory" if path.is_dir() else f'directory "{path.absolute().parent}" does not exist'
        raise InvalidInput(f"invalid output path: {why}", "name a file in an existing directory")
    return path


def _flushing(fd: int) -> Write:
    from core.writeback import Writeback

    write, writeback = _writer(fd), Writeback(fd)

    def flush(data: bytes | memoryview) -> None:
        write(data)
        writeback.wrote(len(data))

    return flush


def _writer(fd: int) -> Write:
    def write(data: bytes | memoryview) -> None:
        written = os.write(fd, data)
        while written < len(data):
            written += os.write(fd, memoryview(data)[written:])

    return write
