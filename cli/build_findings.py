"""What the build checks say, at the end of a build and as the answer of `build --check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.dockerfile.source import Finding
from cli.excerpt import excerpt

if TYPE_CHECKING:
    from cli.progress import Display

_MORE = " (use --check to expand)"


def summary(findings: Sequence[Finding], dockerfile: bytes, *, expand: bool, terminal: bool) -> str:
    """One line a finding, below a heading; `expand` adds what a rule is about and the place. Empty where there is none."""
    if not findings:
        return ""
    count = "1 warning found" if len(findings) == 1 else f"{len(findings)} warnings found"
    heading = f"{count}{'' if expand else _MORE}:\n"
    lines = ["\n ", f"\x1b[33m{heading}\x1b[0m" if terminal else heading]
    for one in findings:
        lines.append(f" - {short(one)}\n")
        if expand:
            lines.append("\n".join([*_details(one), *excerpt(one.span, dockerfile), "", ""]))
    return "".join(lines)


def report(screen: Display, findings: Sequence[Finding], dockerfile: bytes) -> None:
    """The same for a program that reads `--progress=rawjson`."""
    import base64

    from builder.checks.rules import RULES
    from cli.progress_json import RawJson

    assert isinstance(screen, RawJson)
    for one in findings:
        rule = RULES[one.rule]
        texts = [base64.b64encode(text.encode()).decode() for text in (short(one), rule.description)]
        place = {"start": {"line": one.span.line}, "end": {"line": one.span.end_line}}
        source = {"filename": one.span.file, "data": base64.b64encode(dockerfile).decode(), "language": "Dockerfile"}
        message = {"level": 1, "short": texts[0], "detail": [texts[1]], "url": rule.url, "sourceInfo": source}
        screen.send({"warnings": [message | {"range": [place]}]})


def short(finding: Finding) -> str:
    """`Rule: message (line 3)`."""
    return f"{finding.rule}: {finding.message} (line {finding.span.line})"


def _details(finding: Finding) -> list[str]:
    from builder.checks.rules import RULES

    rule = RULES[finding.rule]
    return [rule.description, *([f"More info: {rule.url}"] if rule.url else [])]


def check_text(findings: Sequence[Finding], dockerfile: bytes) -> str:
    """The answer of `--check` for people."""
    from builder.checks.rules import RULES

    count = len(findings)
    if not count:
        return "Check complete, no warnings found.\n"
    lines = [f"Check complete, {'1 warning has' if count == 1 else f'{count} warnings have'} been found!"]
    for one in findings:
        url = RULES[one.rule].url
        lines += ["", f"WARNING: {one.rule}" + (f" - {url}" if url else ""), one.message]
        lines += excerpt(one.span, dockerfile)
    return "\n".join([*lines, ""])
