"""From bytes to logical lines: comments and directives recognised, continuations joined, heredoc bodies attached."""

from __future__ import annotations

import re

from builder.dockerfile.expand import SPACES, ExpansionError
from builder.dockerfile.heredoc import Heredoc, heredocs_of
from builder.dockerfile.source import DockerfileError, Finding, Span
from builder.dockerfile.words import WordsError, exec_form, split_command
from core.value import Value

MAX_LINE = 65535  # bytes in one physical line, as everybody's parser has it
_BOM = b"\xef\xbb\xbf"
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")
_WITH_HEREDOC = ("ADD", "COPY", "RUN")
DIRECTIVES = ("syntax", "escape", "check")


class Line(Value):
    """One instruction: `text` joined, `source` as in the file; `name`, `flags` and `rest` are its parts.

    `comments` are those directly above it, without the `#`.
    """

    span: Span
    text: str
    source: str
    name: str
    flags: tuple[str, ...]
    rest: str
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()

    def error(self, what: str, hint: str | None = None) -> DockerfileError:
        """An error that points at this line."""
        return DockerfileError(what, self.span, self.source, hint)


class Lexer:
    """Reads one file from its first line to its last: call `next_line` until it gives None."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self.file = file
        self.lines = lines
        self.at = 0
        self.escape = "\\"
        self.directives: dict[str, str] = {}
        self.findings: list[Finding] = []
        self._directives_over = False
        self._comments: list[str] = []

    @classmethod
    def of(cls, data: bytes, file: str) -> Lexer:
        """Raises DockerfileError for a line that is too long."""
        lines = data.removeprefix(_BOM).split(b"\n")
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_LINE:
                raise DockerfileError(f"the line is longer than {MAX_LINE} bytes", Span(file, number, number))
        # Line ends stay, for heredocs; what is no UTF-8 is kept until it is known whether it matters.
        text = [line.decode("utf-8", "surrogateescape") + "\n" for line in lines]
        last = text.pop()[:-1]
        return cls(file, [*text, last] if last else text)

    def next_line(self) -> Line | None:
        """The next instruction, or None at the end. Raises DockerfileError."""
        while self.at < len(self.lines):
            start = self.at
            first = self._first(self.lines[start])
            self.at += 1
            if first is None:
                continue
            text, more = self._strip_continuation(first)
            if more or text:
                return self._logical(start, text, more)
        return None

    def span(self, start: int) -> Span:
        """From the line with index `start` to the last one read."""
        return Span(self.file, start + 1, max(self.at, start + 1))

    def source(self, start: int) -> str:
        return "".join(self.lines[start : self.at]).encode("utf-8", "replace").decode()

    def error(self, what: str, start: int, hint: str | None = None) -> DockerfileError:
        return DockerfileError(what, self.span(start), self.source(start), hint)

    def _first(self, line: str) -> str | None:
        """What an instruction's first line holds; None for a comment."""
        line = line.rstrip("\r\n").lstrip(SPACES)
        if self._directive(line):
            return None
        if not line.startswith("#"):
            if not line:
                self._comments.clear()  # "directly above" means just that
            return line
        comment = line[1:].strip(SPACES)
        if comment:
            self._comments.append(comment)
        else:
            self._comments.clear()
        return None

    def _directive(self, line: str) -> bool:
        """Whether this is a parser directive, which can only be while everything above was one."""
        if self._directives_over:
            return False
        found = _DIRECTIVE.fullmatch(line)
        key = found[1].lower() if found else ""
        if not found or key not in DIRECTIVES:
            self._directives_over = True
            return False
        value = found[2].rstrip()
        if key in self.directives:
            raise self._directive_error(f"only one {key} directive can be used", line)
        if key == "escape":
            if value not in ("\\", "`"):
                raise self._directive_error(f"invalid escape character: {value!r}", line, "use \\ or `")
            self.escape = value
        self.directives[key] = value
        return True

    def _directive_error(self, what: str, line: str, hint: str | None = None) -> DockerfileError:
        return DockerfileError(what, Span(self.file, self.at + 1, self.at + 1), line, hint)

    def _strip_continuation(self, line: str) -> tuple[str, bool]:
        """`line` without the escape character that ends it, and whether it had one."""
        if self.escape not in line:
            return line, False
        bare = line.rstrip(" \t")
        if not bare.endswith(self.escape) or bare[-2:-1] == self.escape:
            return line, False
        return bare[:-1], True

    def _logical(self, start: int, text: str, more: bool) -> Line:
        parts = [text]
        empty = False
        while more and self.at < len(self.lines):
            line = self.lines[self.at].rstrip("\r\n")
            self.at += 1
            bare = line.lstrip(SPACES)
            if not bare:
                empty = True
            elif not bare.startswith("#"):
                text, more = self._strip_continuation(line)
                parts.append(text)
        return self._line(start, "".join(parts), empty)

    def _line(self, start: int, text: str, empty: bool) -> Line:
        name, flags, rest = split_command(text, self.escape)
        if not name:
            raise self.error("a continuation with no instruction", start)
        if empty:
            # Where BuildKit says it is: the last line of what is continued.
            place = Span(self.file, self.at, self.at)
            self.findings.append(Finding("NoEmptyContinuation", "Empty continuation line", place))
        heredocs = self._heredocs(start, text, name, rest)
        line = Line(self.span(start), text, self.source(start), name, flags, rest, heredocs, tuple(self._comments))
        self._comments.clear()
        return line

    def _heredocs(self, start: int, text: str, name: str, rest: str) -> tuple[Heredoc, ...]:
        if "<<" not in text:
            return ()
        if name.upper() == "ONBUILD":
            name, _, rest = split_command(rest, self.escape)
        try:
            if name.upper() not in _WITH_HEREDOC or exec_form(rest) is not None:
                return ()
            announced = heredocs_of(text)
        except (WordsError, ExpansionError) as error:
            raise self.error(str(error), start) from None
        return tuple(self._heredoc(start, doc) for doc in announced)

    def _heredoc(self, start: int, doc: Heredoc) -> Heredoc:
        body: list[str] = []
        announced = self.at
        while self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            end = line.rstrip("\r\n")
            if (end.lstrip("\t") if doc.strip_tabs else end) == doc.name:
                return Heredoc(doc.name, "".join(body), doc.expand, doc.strip_tabs, doc.descriptor)
            body.append(line)
        self.at = announced
        raise self.error(
            f"the heredoc {doc.name!r} has no end", start, f"add a line that is just {doc.name}, with nothing around it"
        )
