"""Where in a Dockerfile something stands, and the error and finding that point there."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import InvalidInput
from core.value import Value

SHOWN_LINES = 8


class Span(Value):
    """Lines `line` to `end_line` (both counted from 1, both included) of the file that was named `file`."""

    file: str
    line: int
    end_line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class DockerfileError(InvalidInput):
    """`FILE:LINE: what`, followed by the source lines it is about; `what` alone stays readable as an attribute."""

    def __init__(self, what: str, span: Span, source: str = "", hint: str | None = None) -> None:
        self.what = what
        self.span = span
        self.source = source
        super().__init__("\n".join([f"{span}: {what}", *numbered(source, span.line)]), hint)


class Finding(Value):
    """Something a Dockerfile may do but should not: `rule` is the name of the check (docs/checks)."""

    rule: str
    message: str
    span: Span


def numbered(source: str, first: int) -> list[str]:
    """The lines of `source` as they are shown below an error, numbered from `first`; long ones are cut short."""
    lines = source.splitlines()
    shown = [f"  {first + number:>3} | {line[:200]}" for number, line in enumerate(lines[:SHOWN_LINES])]
    return shown + ([f"      | … {len(lines) - SHOWN_LINES} more lines"] if len(lines) > SHOWN_LINES else [])


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """`did you mean X?` for the known word nearest to `word`, if one is near."""
    import difflib

    names = {name.lower(): name for name in known if name != word}
    near = difflib.get_close_matches(word.lower(), names, 1, 0.7)
    return f"did you mean {names[near[0]]}?" if near else None
