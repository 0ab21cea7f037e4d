"""What a container under conmon has written: conmon's log lines, `<RFC 3339> <stream> <F|P> <text>`, read back."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from core.locks import is_locked
from core.progress import Stream
from runtime.container import Container
from runtime.directories import Directories
from runtime.log_options import LOG
from runtime.status import SUPERVISED, read_status

BLOCK = 1 << 16
PAUSE = 0.05  # seconds between two looks at a log that is being followed


class Line(NamedTuple):
    """`text` ends with a new line unless the container wrote none there; `time` is as conmon wrote it."""

    time: str
    stream: Stream
    text: bytes


def in_utc(text: str) -> str:
    """An instant as conmon writes it, in the machine's own time, as Docker shows it: with Z, and all nine digits."""
    if text.endswith("+00:00"):
        return text[:-6] + "Z"
    from core.clock import format_instant, parse_instant

    seconds, rest = divmod(parse_instant(text), 10**9)
    return f"{format_instant(seconds * 10**9)[:-1]}.{rest:09d}Z"


def parse(raw: bytes) -> Line | None:
    """One line of the file; None for what conmon cannot have written."""
    parts = raw.rstrip(b"\n").split(b" ", 3)
    if len(parts) != 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    stream: Stream = "stdout" if parts[1] == b"stdout" else "stderr"
    return Line(parts[0].decode("ascii", "replace"), stream, parts[3] + (b"\n" if parts[2] == b"F" else b""))


def read(directory: Path, *, tail: int | None = None) -> Iterator[Line]:
    """The lines that are there, or the last `tail` of them. Memory: a block, whatever the log's size."""
    try:
        file = (directory / LOG).open("rb")
    except FileNotFoundError:
        return
    with file:
        if tail is not None:
            file.seek(_start_of_tail(file.fileno(), tail))
        yield from filter(None, map(parse, file))


def _start_of_tail(fd: int, lines: int) -> int:
    """Where the last `lines` lines begin, found from the end; the pieces (P) of one long line count as one."""
    position = os.fstat(fd).st_size
    found = -1  # the end of the file ends the last line, whether it was finished or not
    if lines == 0:
        return position
    rest = b""  # the beginning of a line whose own beginning is in the block before
    while position > 0:
        start = max(0, position - BLOCK)
        data = os.pread(fd, position - start, start) + rest
        cut = 0 if start == 0 else data.find(b"\n") + 1
        end = len(data)
        while end > cut:
            begin = data.rfind(b"\n", cut, end - 1) + 1 or cut
            if found < 0 or data[begin:end].split(b" ", 3)[2:3] == [b"F"]:
                found += 1
                if found == lines:
                    return start + end
            end = begin
        rest = data[:cut]
        position = start
    return 0


def follow(containers: Directories, id: str, *, tail: int | None = None, until: int | None = None) -> Iterator[Line]:
    """The lines that are there and those that come, until the container has ended and all is read, or the instant `until`
    (nanoseconds since the epoch) has passed. conmon puts a new file in the place of one that is full."""
    path = containers.directory(id) / LOG
    try:
        file: IO[bytes] = path.open("rb")
    except FileNotFoundError:
        return
    if tail is not None:
        file.seek(_start_of_tail(file.fileno(), tail))
    pending = b""
    while True:
        last = _is_over(containers.directory(id)) or (until is not None and time.time_ns() > until)
        successor = _successor(path, file)
        while piece := file.readline():
            pending += piece
            if pending.endswith(b"\n"):
                line = parse(pending)
                pending = b""
                if line:
                    yield line
        if successor:
            file.close()
            file, pending = successor, b""
        elif last:
            file.close()
            return
        else:
            time.sleep(PAUSE)


def _is_over(directory: Path) -> bool:
    """Whether nothing more will be written: it has ended, and nobody is there who would start it again."""
    return read_status(directory).state in ("created", "exited") and not is_locked(directory / SUPERVISED)


def _successor(path: Path, file: IO[bytes]) -> IO[bytes] | None:
    """The file that has taken the place of `file`, which nobody writes to any more then; None while it has its name."""
    with contextlib.suppress(FileNotFoundError):
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return path.open("rb")
    return None


def details(container: Container) -> str:
    """What `--log-opt labels=…` and `env=…` add to each line: `a=1,b=2`."""
    options = container.logging.options if container.logging else {}
    env = dict(pair.partition("=")[::2] for pair in container.env)
    found = {name: container.labels[name] for name in options.get("labels", "").split(",") if name in container.labels}
    found |= {name: env[name] for name in options.get("env", "").split(",") if name in env}
    return ",".join(f"{name}={value}" for name, value in sorted(found.items()))
