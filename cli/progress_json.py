"""`--progress=rawjson`: one JSON object a line, in the shape of BuildKit's status messages."""

from __future__ import annotations

import base64
import json
import threading
from typing import IO, Any

from core.clock import now
from core.progress import Stream
from image.digest import Digest


class RawJson:
    """A Display for programs."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._count = 0

    def task(self, name: str, total: int | None = None) -> JsonTask:
        with self._lock:
            self._count += 1
            number = self._count
        return JsonTask(self, number, name, total)

    def warn(self, message: str) -> None:
        short = base64.b64encode(message.encode()).decode()
        self.send({"warnings": [{"level": 1, "short": short}]})

    def send(self, message: dict[str, Any]) -> None:
        """Print one message."""
        with self._lock:
            self._stream.write(json.dumps(message, separators=(",", ":")) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing to put back."""


class JsonTask:
    """A Task of `RawJson`; to BuildKit's clients it is a vertex."""

    def __init__(self, parent: RawJson, number: int, name: str, total: int | None) -> None:
        self._parent = parent
        self._digest = Digest.of(f"{number} {name}".encode())
        self._vertex: dict[str, Any] = {"digest": self._digest, "name": name, "started": now()}
        self._total = total
        self._done = 0
        parent.send({"vertexes": [self._vertex]})

    def advance(self, amount: int) -> None:
        self._done += amount
        status = {"id": self._vertex["name"], "vertex": self._digest, "current": self._done, "timestamp": now()}
        self._parent.send({"statuses": [status | ({"total": self._total} if self._total else {})]})

    def output(self, stream: Stream, data: bytes) -> None:
        log = {"vertex": self._digest, "stream": 2 if stream == "stderr" else 1, "timestamp": now()}
        self._parent.send({"logs": [log | {"data": base64.b64encode(data).decode()}]})

    def finish(self, note: str = "") -> None:
        cached = {"cached": True} if note == "CACHED" else {}
        self._parent.send({"vertexes": [self._vertex | {"completed": now()} | cached]})

    def fail(self, why: str) -> None:
        self._parent.send({"vertexes": [self._vertex | {"completed": now(), "error": why}]})
