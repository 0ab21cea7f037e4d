"""Golden cases: each folder of testdata/dockerfile has a Dockerfile and what it parses to (`parsed.txt`) or fails with
(`error.txt`). To record them anew after a change that was meant: LAMELLA_RECORD=1 pytest, and read the difference."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.dockerfile.instructions import Dockerfile, Instruction
from builder.dockerfile.parser import parse
from builder.dockerfile.source import DockerfileError
from core.value import Value

CASES = Path(__file__).parents[3] / "testdata" / "dockerfile"
ALL = sorted(path.name for path in CASES.iterdir())


def described(dockerfile: Dockerfile) -> Iterator[str]:
    yield shown(dockerfile.directives)
    for instruction in dockerfile.global_args:
        yield from lines_of(instruction)
    for stage in dockerfile.stages:
        yield from lines_of(stage.start)
        for instruction in stage.instructions:
            yield from ("  " + line for line in lines_of(instruction))
    for finding in dockerfile.findings:
        yield f"{finding.span.line}-{finding.span.end_line} {finding.rule}: {finding.message}"


def lines_of(instruction: Instruction) -> Iterator[str]:
    span = instruction.span
    yield f"{span.line}-{span.end_line} {instruction.text!r}"
    yield f"    {shown(instruction)}"


def shown(value: Any) -> str:
    """A value's fields that are not at their defaults, which keeps the files readable."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(shown, value)) + ")"
    if not isinstance(value, Value):
        return repr(value)
    given = [
        f"{name}={shown(getattr(value, name))}"
        for name in value._fields
        if not (isinstance(value, Instruction) and name in ("span", "text", "source"))
        and getattr(value, name) != getattr(type(value), name, ...)
    ]
    return f"{type(value).__name__}({', '.join(given)})"


@pytest.mark.parametrize("name", ALL)
def test_case(name: str) -> None:
    data = (CASES / name / "Dockerfile").read_bytes()
    try:
        file, found = "parsed.txt", "\n".join(described(parse(data, "Dockerfile"))) + "\n"
    except DockerfileError as error:
        file, found = "error.txt", f"{error.message}\nhint: {error.hint}\n"
    golden = CASES / name / file
    if os.environ.get("LAMELLA_RECORD"):
        golden.write_text(found)
    assert golden.exists(), f"there is no {file}: this case was meant to end otherwise"
    assert found == golden.read_text()
