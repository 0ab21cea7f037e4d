"""What a template's author did wrong, and where."""

from __future__ import annotations

from core.errors import InvalidInput


class TemplateError(InvalidInput):
    """`offset` is the place in `source`, counted in characters."""

    def __init__(self, source: str, offset: int, why: str, hint: str | None = None) -> None:
        line = source.count("\n", 0, offset) + 1
        column = offset - (source.rfind("\n", 0, offset) + 1) + 1
        super().__init__(f"template:{line}:{column}: {why}", hint)
