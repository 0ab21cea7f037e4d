"""A fuzzer that is guided by what it reaches (atheris): bytes go to the parser, the expander and the ignore rules.

`python -m tests.suites.fuzzed -max_total_time=8 [CORPUS]` ends with 77 at the first input that raises anything but an
InvalidInput, or takes longer than a second. The input stands in the file that it names.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["builder.dockerfile"]):
    from builder.dockerfile.expand import Expander
    from builder.dockerfile.ignore import Ignore
    from builder.dockerfile.parser import parse

from builder.dockerfile.source import DockerfileError
from core.errors import InvalidInput

_VALUES = {"a": "1", "b": "", "path": "/x/y.tar.gz", "long": "ab" * 50}


def read(data: bytes) -> None:
    """Everything that the language does with text. Raises whatever is a mistake of ours."""
    try:
        dockerfile = parse(data, "Dockerfile")
    except DockerfileError as error:
        assert error.message.startswith("Dockerfile:")
    else:
        for instruction in dockerfile:
            expand(instruction, dockerfile.escape)
    ignore(data)


def expand(instruction: object, escape: str) -> None:
    try:
        instruction.expanded(Expander(_VALUES.get, escape))  # type: ignore[attr-defined]
    except DockerfileError as error:
        assert error.span.line >= 1


def ignore(data: bytes) -> None:
    rules, _, path = data.partition(b"\n\n")
    try:
        found = Ignore.parse(rules)
    except InvalidInput as error:
        assert error.message.startswith(".dockerignore:")
        return
    name = path.decode("utf-8", "surrogateescape")[:200].strip("/")
    if name and found.ignores(name):
        assert found.reason(name)


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-timeout=2", "-max_len=4096"], read)
    atheris.Fuzz()
