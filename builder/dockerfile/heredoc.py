"""Heredocs: files that are written out in the Dockerfile itself (`<<EOF`)."""

from __future__ import annotations

import re

from builder.dockerfile.expand import Expander, quoted_word, split_words
from core.value import Value, replace

_PATTERN = re.compile(r"([0-9]{0,9})<<(-?)\s*([^<]*)")
_TABS = re.compile(r"^\t+", re.MULTILINE)


class Heredoc(Value):
    """`content` is the text between the line and the terminator, line ends included, as it stands in the file."""

    name: str
    content: str = ""
    expand: bool = True
    strip_tabs: bool = False
    descriptor: int = 0

    @property
    def body(self) -> str:
        """The content without the leading tabs that `<<-` drops."""
        return _TABS.sub("", self.content) if self.strip_tabs else self.content

    def is_all_of(self, words: tuple[str, ...]) -> bool:
        """Whether a command of these words consists of this heredoc alone."""
        return len(words) == 1 and parse_heredoc(words[0].strip()) is not None

    def expanded(self, expander: Expander) -> Heredoc:
        """With the variables in its body replaced (quotes stay), unless its word was quoted."""
        body = expander.document(self.body) if self.expand else self.body
        return replace(self, content=body, strip_tabs=False)


def parse_heredoc(word: str) -> Heredoc | None:
    """The heredoc that `word` announces, without its content; None for an ordinary word. Raises ExpansionError."""
    found = _PATTERN.fullmatch(word)
    if not found or not found[3]:
        return None
    plain = quoted_word(found[3])
    if plain is None:
        return None
    name, quoted = plain
    return Heredoc(name, expand=not quoted, strip_tabs=bool(found[2]), descriptor=int(found[1] or 0))


def heredocs_of(line: str) -> tuple[Heredoc, ...]:
    """The heredocs that a line announces, in order, without their contents."""
    if "<<" not in line:
        return ()
    return tuple(doc for doc in map(parse_heredoc, split_words(line)) if doc)
