"""From logical lines to instructions and stages."""

from __future__ import annotations

from builder.dockerfile.instructions import Dockerfile, Instruction
from builder.dockerfile.source import Span


def parse(data: bytes, name: str) -> Dockerfile:
    """The whole Dockerfile in `data`; `name` is how errors call the file. Raises DockerfileError at the first mistake."""
    raise ValueError(name)


def parse_trigger(text: str, span: Span) -> Instruction:
    """The instruction that an ONBUILD of a base image holds; `span` is where to point at, usually the FROM."""
    raise ValueError(text)
