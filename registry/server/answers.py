"""Answers as values: a handler returns one, the application sends it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from registry.server.errors import Headers


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes `start` up to but not including `end` of a file of `size` bytes."""

    path: Path
    start: int
    end: int
    size: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Answer:
    """`length`: what Content-Length says in answer to HEAD. `keep`: whether the same may be answered again as long as
    nobody has written to the metadata."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | FilePart = b""
    keep: bool = False


def json_answer(data: object, headers: Headers | None = None, *, media_type: str = "application/json") -> Answer:
    return Answer(200, [("content-type", media_type), *(headers or [])], json.dumps(data).encode())
