"""How long work tells what it does, without knowing who listens. `cli.progress` draws it; libraries never print."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, Protocol, TypeAlias
else:
    Protocol = object

Stream: TypeAlias = 'Literal["stdout", "stderr"]'


class Task(Protocol):
    """One row of work. It is opened by `Progress.task` and closed once, by `finish` or `fail`; all calls are thread-safe."""

    def advance(self, amount: int) -> None:
        """Count `amount` more units (bytes, for transfers) as done."""

    def output(self, stream: Stream, data: bytes) -> None:
        """Pass on what a child process wrote."""

    def finish(self, note: str = "") -> None:
        """Close as done; `note` is a word such as CACHED."""

    def fail(self, why: str) -> None:
        """Close as failed, with the reason in one line."""


class Progress(Protocol):
    """Where a command reports. Implementations must accept calls from several threads."""

    def task(self, name: str, total: int | None = None) -> Task:
        """Open a row called `name`; `total` units are expected, None where nobody knows."""

    def warn(self, message: str) -> None:
        """Tell the user something that does not stop the work."""


class SilentTask:
    """A Task that nobody watches."""

    def advance(self, amount: int) -> None: ...

    def output(self, stream: Stream, data: bytes) -> None: ...

    def finish(self, note: str = "") -> None: ...

    def fail(self, why: str) -> None: ...


class Silent:
    """A Progress that nobody watches: the default of every library call."""

    def task(self, name: str, total: int | None = None) -> Task:
        return SilentTask()

    def warn(self, message: str) -> None: ...
