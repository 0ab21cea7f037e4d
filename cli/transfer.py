"""What push and pull share on the command line: options, and layers shown live on a terminal or as lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import click

from core.progress import Progress, Silent, Stream, Task

tls_verify_option = click.option(
    "--tls-verify", type=bool, default=True, metavar="BOOL",
    help="false: believe any certificate, and fall back to plain HTTP.  [default: true]",
)  # fmt: skip


@contextlib.contextmanager
def shown(quiet: bool) -> Iterator[Progress]:
    """Where layers are reported: nowhere, live on stderr, or as Docker's lines on stdout when nobody watches."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        from cli.progress import display

        live = display("auto")
        try:
            yield live
        finally:
            live.close()
    else:
        yield Lines()


@contextlib.contextmanager
def watched(quiet: bool) -> Iterator[Progress]:
    """Live on a terminal's stderr, nowhere else: for commands whose stdout says what came of it."""
    if quiet or not sys.stderr.isatty():
        yield Silent()
    else:
        with shown(quiet) as progress:
            yield progress


class Lines:
    """A Progress that says one line for each layer when it is done: `ID: Pull complete`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def task(self, name: str, total: int | None = None) -> Task:
        return LinesTask(lambda note: self._say(f"{name}: {note}"))

    def warn(self, message: str) -> None:
        with self._lock:
            click.echo(f"WARNING: {message}", err=True)

    def _say(self, line: str) -> None:
        with self._lock:
            click.echo(line)


class LinesTask:
    """A Task of `Lines`."""

    def __init__(self, say: Callable[[str], Any]) -> None:
        self._say = say

    def advance(self, amount: int) -> None: ...

    def output(self, stream: Stream, data: bytes) -> None: ...

    def finish(self, note: str = "") -> None:
        self._say(note or "Done")

    def fail(self, why: str) -> None:
        """The command's own error says it."""
