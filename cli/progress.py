"""How the progress of long work is shown: `plain` lines as BuildKit prints them, a live `tty`, `rawjson`, or `quiet`.

Everything goes to stderr. rich is imported for a terminal alone.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time

from core.progress import Progress, Silent, SilentTask, Stream, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Protocol
else:
    Protocol = object

KINDS = ("auto", "plain", "tty", "rawjson", "quiet", "none")


class Display(Progress, Protocol):
    """A Progress on a screen; `close` leaves the screen as it found it (harmless to repeat)."""

    def close(self) -> None:
        """No call may follow."""


def display(kind: str, *, quiet: bool = False, stream: IO[str] | None = None) -> Display:
    """The display that `--progress` asks for; `quiet` wins. Raises a usage error for a word that is none of KINDS."""
    stream = stream or sys.stderr
    if quiet:
        return Quiet()
    if kind not in KINDS:
        import click

        raise click.UsageError(f"--progress is {kind!r}; it can be {', '.join(KINDS)}")
    if kind in ("quiet", "none"):
        return Quiet()
    if kind == "rawjson":
        from cli.progress_json import RawJson

        return RawJson(stream)
    if kind == "tty" or (kind == "auto" and stream.isatty() and os.environ.get("TERM") != "dumb"):
        from cli.progress_tty import Live

        return Live(stream)
    return Plain(stream)


class Quiet(Silent):
    """Shows nothing at all."""

    def task(self, name: str, total: int | None = None) -> Task:
        return SilentTask()

    def close(self) -> None: ...


class Plain:
    """Numbered lines, each with its task's number, as they come."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._count = 0
        self._last: PlainTask | None = None

    def task(self, name: str, total: int | None = None) -> PlainTask:
        with self._lock:
            self._count += 1
            task = PlainTask(self, self._count, name)
        self.say(task, [])
        return task

    def warn(self, message: str) -> None:
        with self._lock:
            self._stream.write(f"WARNING: {message}\n")
            self._stream.flush()

    def say(self, task: PlainTask, lines: list[str]) -> None:
        """Print lines of a task, after its name where another task came between."""
        with self._lock:
            prefix = f"#{task.number} "
            if self._last is not task:
                first = "\n" if self._last else ""
                lines = [f"{first}{prefix}{task.name}", *(prefix + line for line in lines)]
            else:
                lines = [prefix + line for line in lines]
            self._last = task
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()

    def close(self) -> None:
        """Nothing to put back."""


class PlainTask:
    """A Task of `Plain`."""

    def __init__(self, plain: Plain, number: int, name: str) -> None:
        self.number = number
        self.name = title(name)
        self._plain = plain
        self._start = time.monotonic()
        self._lines = Lines()

    def advance(self, amount: int) -> None:
        """Only whole tasks are worth a line."""

    def output(self, stream: Stream, data: bytes) -> None:
        self._print(self._lines.add(data))

    def _print(self, lines: list[str]) -> None:
        if lines:
            seconds = time.monotonic() - self._start
            self._plain.say(self, [f"{seconds:.3f} {line}" for line in lines])

    def finish(self, note: str = "") -> None:
        self._print(self._lines.rest())
        self._plain.say(self, [note or f"DONE {time.monotonic() - self._start:.1f}s"])

    def fail(self, why: str) -> None:
        self._print(self._lines.rest())
        self._plain.say(self, [f"ERROR: {why}"])


class Lines:
    """Output cut into lines; what has no line end yet waits for it."""

    LONGEST = 64 << 10

    def __init__(self) -> None:
        self._pending = b""
        self._lock = threading.Lock()

    def add(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        with self._lock:
            *lines, self._pending = (self._pending + data).split(b"\n")
            if len(self._pending) > self.LONGEST:
                lines.append(self._pending)
                self._pending = b""
        return [shown(line) for line in lines]

    def rest(self) -> list[str]:
        """The last line, if it had no end."""
        with self._lock:
            pending, self._pending = self._pending, b""
        return [shown(pending)] if pending else []


def title(name: str) -> str:
    """What a task is called, in one line, as it may be printed."""
    return shown(name.replace("\n", " ").encode())


_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)"  # ECMA-48: CSI, strings, others
)
_COLOUR = re.compile(r"\x1b\[[\d;:]*m")


def shown(line: bytes) -> str:
    """A line as it may be printed: what a terminal would obey as a command is taken out, colours apart."""
    text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
    text = _ESCAPE.sub(lambda found: found[0] if _COLOUR.fullmatch(found[0]) else "", text)
    return "".join(ch for ch in text if ch in "\t\x1b" or (ch >= " " and not "\x7f" <= ch <= "\x9f"))
