"""A few lines of a Dockerfile with the ones that are meant marked, as BuildKit prints them."""

from __future__ import annotations

from builder.dockerfile.source import Span

RULE = "-" * 20


def excerpt(span: Span, text: bytes) -> list[str]:
    """The lines around `span`: two above and below a single line, one around several."""
    source = text.decode("utf-8", "replace").splitlines()
    around = 2 if span.line == span.end_line else 1
    lines = [f"{span.file}:{span.line}", RULE]
    for number in range(max(1, span.line - around), min(len(source), span.end_line + around) + 1):
        mark = ">>>" if span.line <= number <= span.end_line else "   "
        lines.append(f"{number:>4} | {mark} {source[number - 1]}")
    return [*lines, RULE]
