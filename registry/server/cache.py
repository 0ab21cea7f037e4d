"""Answers that were given, to be given again without asking: good until anybody writes to the metadata.

All are forgotten once a minute too: so a handler sees every path that is asked for, and can note that it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from registry.server.errors import Headers

CACHE_BYTES = 16 << 20
ENTRY_BYTES = 256 << 10
SECONDS = 60.0


class Ready(NamedTuple):
    """A whole 200 answer; its headers hold `content-length`, so that they serve HEAD as well."""

    headers: Headers
    body: bytes
    etag: str


class AnswerCache:
    """For the event loop's thread alone. `version` tells whether what was remembered still holds (MetadataStore.version)."""

    def __init__(self, version: Callable[[], int], limit: int = CACHE_BYTES) -> None:
        """At most `limit` bytes of bodies are kept."""
        self._version = version
        self._limit = limit
        self._seen = -1
        self._until = 0.0
        self._bytes = 0
        self._answers: dict[str, Ready] = {}

    def find(self, path: str) -> Ready | None:
        """The answer to GET `path`, if it is known and nothing was written since."""
        version, now = self._version(), time.monotonic()
        if version != self._seen or now > self._until:
            self._answers.clear()
            self._bytes = 0
            self._seen, self._until = version, now + SECONDS
            return None
        return self._answers.get(path)

    def keep(self, path: str, ready: Ready) -> None:
        """Remember an answer that was read after the last `find`, in the same step of the loop."""
        if len(ready.body) > ENTRY_BYTES:
            return
        while self._answers and self._bytes + len(ready.body) > self._limit:
            oldest = next(iter(self._answers))
            self._bytes -= len(self._answers.pop(oldest).body)
        if path not in self._answers:
            self._bytes += len(ready.body)
            self._answers[path] = ready
