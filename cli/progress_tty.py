"""Progress on a terminal: what is done in one line each, what runs with its last lines of output, redrawn in place."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import IO

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.text import Text

from cli.progress import Lines, title
from core.progress import Stream
from core.units import human_size

TAIL_LINES = 6
REDRAWS_A_SECOND = 10


class Live:
    """A Display on a terminal. Finished tasks scroll up and stay; only the running ones are redrawn."""

    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream, highlight=False)
        self._lock = threading.Lock()
        self._running: list[LiveTask] = []
        self._live: RichLive | None = None

    def task(self, name: str, total: int | None = None) -> LiveTask:
        task = LiveTask(self, title(name), total)
        with self._lock:
            self._running.append(task)
            if self._live is None:
                self._live = RichLive(
                    console=self._console, refresh_per_second=REDRAWS_A_SECOND, transient=True, get_renderable=self._draw
                )  # fmt: skip
                self._live.start()
        return task

    def _draw(self) -> Group:
        return Group(*(row for task in list(self._running) for row in task.rows(self._console.width)))

    def done(self, task: LiveTask, line: str, figures: str, style: str) -> None:
        """The task has ended; `line` stays on the screen."""
        with self._lock:
            if task in self._running:
                self._running.remove(task)
                self._console.print(row(line, figures, self._console.width, style), no_wrap=True, overflow="ellipsis")

    def warn(self, message: str) -> None:
        self._console.print(Text(f"WARNING: {message}", "yellow"))

    def close(self) -> None:
        with self._lock:
            live, self._live = self._live, None
            self._running.clear()
        if live is not None:
            live.stop()


def row(line: str, figures: str, width: int, style: str = "") -> Text:
    """One row of the screen: `line` with its colours, shortened where that keeps `figures`, at its end, in sight."""
    text = Text.from_ansi(line, style=style)
    text.truncate(max(width - len(figures) - 1, 0), overflow="ellipsis", pad=True)
    return text.append(f" {figures}")


class LiveTask:
    """A Task of `Live`."""

    def __init__(self, live: Live, name: str, total: int | None) -> None:
        self._live = live
        self._name = name
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._lines = Lines()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def rows(self, width: int) -> list[Text]:
        """What is shown while it runs, on a screen of `width` columns."""
        figures = self._seconds()
        if self._done:
            figures = human_size(self._done) + (f" / {human_size(self._total)}" if self._total else "") + f"  {figures}"
        tail = [row(f" => => # {line}", "", width, "dim") for line in list(self._tail)]
        return [row(f" => {self._name}", figures, width), *tail]

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._start:.1f}s"

    def advance(self, amount: int) -> None:
        self._done += amount

    def output(self, stream: Stream, data: bytes) -> None:
        self._tail.extend(self._lines.add(data))

    def finish(self, note: str = "") -> None:
        cached = "CACHED " if note == "CACHED" else ""
        self._live.done(self, f" => {cached}{self._name}", self._seconds(), "blue")

    def fail(self, why: str) -> None:
        self._live.done(self, f" => ERROR {self._name}: {why}", self._seconds(), "red")
