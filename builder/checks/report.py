"""What the rules have found so far, without what the file's author does not want to hear."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from builder.checks.options import Options, options_of
from builder.checks.rules import RULES
from builder.dockerfile.instructions import Dockerfile, Instruction
from builder.dockerfile.source import Finding, Span

MOST_NAMES = 1000
MOST_SUGGESTIONS = 100


class Report:
    """Collects the findings on `dockerfile`."""

    def __init__(self, dockerfile: Dockerfile, options: Options) -> None:
        self._comments = dockerfile.comments
        self._options = options
        self._found: dict[Finding, None] = {}
        self._asked = 0

    def add(self, rule: str, about: Instruction, message: str, place: Span | None = None) -> None:
        """`about` is the instruction whose comments may turn the rule off; `place` where it points, the same if not given."""
        comments = self._comments.get(about.span.line)
        options = self._options.joined(options_of(comments)) if comments else self._options
        finding = Finding(rule, message, place or about.span)
        if options.shows(RULES[rule]):
            self._found[finding] = None

    def nearest(self, word: str, known: Iterable[str]) -> str:
        """The one of `known` that is at most two letters off, the first of several; empty where there is none, where there
        are very many to look through, and where this has been asked very often: nobody reads all that."""
        self._asked += 1
        names = list(islice(known, MOST_NAMES + 1)) if self._asked <= MOST_SUGGESTIONS else []
        found, least = "", 3
        for one in sorted(names) if len(names) <= MOST_NAMES else ():
            if one == word:
                return ""
            if abs(len(one) - len(word)) < least and (distance := _distance(word, one)) < least:
                found, least = one, distance
        return found

    def findings(self) -> tuple[Finding, ...]:
        """In the order of the file."""
        return tuple(sorted(self._found, key=lambda finding: finding.span.line))


def _distance(a: str, b: str) -> int:
    """Levenshtein's."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]
