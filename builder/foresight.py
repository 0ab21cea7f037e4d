"""A look ahead: while a build is still being loaded and planned, a child looks at the statuses of what its COPYs name.

Nothing depends on it. What the child does not know, or does not know yet, the build finds out for itself.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import LamellaError
from core.signals import signal

if TYPE_CHECKING:
    from builder.context import Source
    from builder.context_walk import Filter
    from builder.dockerfile.instructions import Instruction
    from builder.statuses import Seen

_LENGTH = 4


class Foresight:
    """The parent's side; the arguments are as in BuildRequest. To be made before threads exist and anything is opened;
    `close` ends the child (harmless to repeat)."""

    def __init__(self, dockerfile: bytes, context: Path, dockerfile_path: Path | None) -> None:
        self._pipe, out = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            _be_ahead(out, dockerfile, context, dockerfile_path)
        os.close(out)
        self._paths: list[Any] | None = None
        self._seen: list[Seen] = []
        self._guard = threading.Lock()

    def __call__(self, path: Path) -> Seen | None:
        """The statuses below `path`, waited for if the child is looking at them now; None if it is not going to tell soon."""
        with self._guard:
            return self._find(os.fspath(path))

    def _find(self, path: str) -> Seen | None:
        from builder.statuses import Seen

        if self._paths is None:
            self._paths = self._receive() or []
        if path not in self._paths:
            return None
        number = self._paths.index(path)
        while len(self._seen) <= number and (len(self._seen) == number or self._has_more()):
            found = self._receive()
            if not found:
                return None
            self._seen.append(Seen(*found))
        return self._seen[number] if number < len(self._seen) else None

    def _has_more(self) -> bool:
        return bool(select.select([self._pipe], [], [], 0)[0])

    def _receive(self) -> list[Any] | None:
        """The next message; None where the child has ended."""
        length = int.from_bytes(self._read(_LENGTH), "big")
        data = self._read(length)
        found: list[Any] | None = marshal.loads(data) if data and len(data) == length else None
        return found

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := os.read(self._pipe, size - len(data))):
            data += more
        return data

    def close(self) -> None:
        if self._child:
            os.close(self._pipe)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
        self._child = 0


def _be_ahead(out: int, dockerfile: bytes, directory: Path, dockerfile_path: Path | None) -> None:
    # Whatever is wrong with the Dockerfile or the context, the build will say.
    with contextlib.suppress(BaseException):
        from builder.statuses import look

        sources = _sources(dockerfile, directory, dockerfile_path)
        _send(out, [os.fspath(source.path) for source, _ in sources])
        for source, chosen in sources:
            _send(out, list(look(source.path, chosen if source.is_directory else None)))
    os._exit(0)


def _send(out: int, message: list[Any]) -> None:
    data = marshal.dumps(message)
    os.write(out, len(data).to_bytes(_LENGTH, "big") + data)


def _sources(dockerfile: bytes, directory: Path, dockerfile_path: Path | None) -> list[tuple[Source, Filter]]:
    """What the Dockerfile's COPYs and ADDs take from the context, as far as that can be told without planning."""
    from builder.context import Context, ignore_rules
    from builder.dockerfile.parser import parse

    context = Context.local(directory, ignore_rules(directory, dockerfile_path))
    found: dict[Path, tuple[Source, Filter]] = {}
    for stage in parse(dockerfile, "").stages:
        for name in (name for instruction in stage.instructions for name in _plain_sources(instruction)):
            with contextlib.suppress(LamellaError):
                for source in context.select([name]):
                    found[source.path] = (source, context.chosen(source))
    return list(found.values())


def _plain_sources(instruction: Instruction) -> list[str]:
    """The sources that are names in the context just as they are written."""
    from builder.dockerfile.instructions import Transfer

    if not isinstance(instruction, Transfer) or getattr(instruction, "origin", None) or instruction.exclude:
        return []
    return [name for name in instruction.sources if "://" not in name and not set("$\\\"'") & set(name)]
