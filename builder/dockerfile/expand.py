"""Variables, quotes and escapes in a Dockerfile's words (reference: Dockerfile, "Environment replacement").

The language is a small part of a shell's: `$name`, `${name}` and the forms with `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%`
`/` `//`. Single quotes keep everything, double quotes keep everything but `$` and escapes. Nothing here does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from builder.dockerfile.glob import Glob
from core.errors import InvalidInput
from core.value import Value

Lookup = Callable[[str], str | None]
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACES = re.compile(f"[{SPACES}]+")
MAX_DEPTH = 100
MAX_INSERTED = 1 << 20  # characters: the kernel gives no process a variable of more than 128 KiB
_TOO_LONG = "a value may not be made of itself again and again"
_SPECIAL = "@*#?-$!0"


class ExpansionError(InvalidInput):
    """A word's quotes, braces or substitutions are wrong; whoever knows where it stands adds that."""


def expand(text: str, lookup: Lookup, *, escape: str = "\\", unset: Callable[[str], None] | None = None) -> str:
    """`text` as one word: variables replaced by what `lookup` gives (None: not set), quotes removed, spaces kept.

    `unset` is told each name that has no value and no alternative. Raises ExpansionError.
    """
    return Expander(lookup, escape=escape, unset=unset).text(text)


def expand_words(
    text: str, lookup: Lookup, *, escape: str = "\\", unset: Callable[[str], None] | None = None
) -> list[str]:
    """`text` expanded and then split at spaces that are neither quoted nor escaped. Raises ExpansionError."""
    return Expander(lookup, escape=escape, unset=unset).words(text)


class Expander(Value):
    """How one instruction's fields are expanded: the variables it sees, and the file's escape character."""

    lookup: Lookup
    escape: str = "\\"
    unset: Callable[[str], None] | None = None

    def text(self, text: str) -> str:
        """One word; see `expand`."""
        if "$" not in text and "'" not in text and '"' not in text and self.escape not in text:
            return text
        return _Scan(text, self.lookup, self.escape, self.unset).until("")

    def words(self, text: str) -> list[str]:
        """Several words; see `expand_words`."""
        words = _Words()
        _Scan(text, self.lookup, self.escape, self.unset).until("", words=words)
        return words.finish()

    def document(self, text: str) -> str:
        """A heredoc's body: quotes stay, and the escape character is always the backslash."""
        if "$" not in text and "\\" not in text:
            return text
        return _Scan(text, self.lookup, "\\", self.unset, quotes="ignore").until("")


def split_words(line: str) -> list[str]:
    """The words of a shell line with quotes, escapes and variables left in; none at all where its quotes do not match."""
    words = _Words()
    try:
        _Scan(line, _nothing, "\\", None, quotes="keep", keep_unset=True).until("", raw_escapes=True, words=words)
    except ExpansionError:
        return []
    return words.finish()


def quoted_word(text: str) -> tuple[str, bool] | None:
    """`text` without its quotes and whether it had any; None unless it is exactly one word. Raises ExpansionError."""
    words = _Words()
    scan = _Scan(text, _nothing, "\\", None, keep_unset=True)
    scan.until("", words=words)
    found = words.finish()
    return (found[0], scan.saw_quotes) if len(found) == 1 else None


def _nothing(_: str) -> None:
    return None


class _Words:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.current: list[str] = []

    def split(self, text: str) -> None:
        first, *more = _SPACES.split(text)
        self.whole(first)
        for word in more:
            self.finish()
            self.whole(word)

    def whole(self, text: str) -> None:
        if text:
            self.current.append(text)

    def finish(self) -> list[str]:
        if self.current:
            self.done.append("".join(self.current))
            self.current.clear()
        return self.done


class _Scan:
    """One pass over one text. `quotes`: "remove" them, "keep" them, or "ignore" them as ordinary characters."""

    def __init__(
        self,
        source: str,
        lookup: Lookup,
        escape: str,
        unset: Callable[[str], None] | None,
        *,
        quotes: str = "remove",
        keep_unset: bool = False,
    ) -> None:
        self.source = source
        self.lookup = lookup
        self.escape = escape
        self.unset = unset
        self.quotes = quotes
        self.keep_unset = keep_unset
        self.at = 0
        self.depth = 0
        self.inserted = 0
        self.saw_quotes = False

    def peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def next(self) -> str:
        ch = self.source[self.at : self.at + 1]
        self.at += 1
        return ch

    def until(self, stop: str, *, raw_escapes: bool = False, words: _Words | None = None) -> str:
        """Everything up to `stop` (consumed), or to the end where `stop` is empty."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpansionError(f"substitutions are nested more than {MAX_DEPTH} deep")
        out: list[str] = []
        while ch := self.peek():
            if ch == stop:
                self.next()
                self.depth -= 1
                return "".join(out)
            out.append(self._piece(ch, raw_escapes, words))
        if stop:
            raise ExpansionError(f"no matching {stop} found")
        return "".join(out)

    def _piece(self, ch: str, raw_escapes: bool, words: _Words | None) -> str:
        splits = False
        if ch == "$":
            piece, splits = self._dollar(raw_escapes), True
        elif ch in "'\"" and self.quotes != "ignore":
            piece = self._single() if ch == "'" else self._double(raw_escapes)
        elif ch == "<":
            piece = self._less_than()
        elif ch == self.escape:
            self.next()
            piece = (ch if raw_escapes else "") + self.next()
        else:
            piece, splits = self.next(), True
        if words:
            (words.split if splits else words.whole)(piece)
        return piece

    def _less_than(self) -> str:
        # `<< EOF` is one word, spaces and all.
        start = self.at
        self.next()
        if self.peek() == "<":
            self.next()
            while self.peek() in (" ", "\t", "\r"):
                self.next()
        return self.source[start : self.at]

    def _single(self) -> str:
        start = self.at
        end = self.source.find("'", start + 1)
        if end < 0:
            raise ExpansionError("a single quote is not closed", "quote or escape it, or close it")
        self.at = end + 1
        self.saw_quotes = True
        return self.source[start : end + 1] if self.quotes == "keep" else self.source[start + 1 : end]

    def _double(self, raw_escapes: bool) -> str:
        quote = self.next()
        kept = quote if self.quotes == "keep" else ""
        out = [kept]
        while ch := self.peek():
            if ch == quote:
                self.next()
                self.saw_quotes = True
                return "".join(out) + kept
            if ch == "$":
                out.append(self._dollar(raw_escapes))
            elif ch == self.escape:
                out.append(self._escaped_in_quotes(raw_escapes))
            else:
                out.append(self.next())
        raise ExpansionError("a double quote is not closed", "quote or escape it, or close it")

    def _escaped_in_quotes(self, raw_escapes: bool) -> str:
        escape = self.next()
        kept = escape if raw_escapes else ""
        if not self.peek():
            return kept
        return kept + (self.next() if self.peek() in ('"', "$", self.escape) else escape)

    def _dollar(self, raw_escapes: bool) -> str:
        piece = self._substituted(raw_escapes)
        self.inserted += len(piece)
        if self.inserted > MAX_INSERTED:
            raise ExpansionError(f"the values of variables make this longer than {MAX_INSERTED >> 20} MiB", _TOO_LONG)
        return piece

    def _substituted(self, raw_escapes: bool) -> str:
        start = self.at
        self.next()
        if self.peek() != "{":
            name = self._name()
            return self._plain(name, start) if name else "$"
        self.next()
        if not self.peek():
            raise _missing("}")
        if self.peek() in "{}:":
            raise ExpansionError(f"bad substitution: {self.source[start : self.at + 1]}")
        name = self._name()
        if self.peek() == "}":
            self.next()
            return self._plain(name, start)
        return self._modified(name, start)

    def _name(self) -> str:
        start = self.at
        first = self.peek()
        if first.isdecimal():
            while self.peek().isdecimal():
                self.next()
        elif first and first in _SPECIAL:
            self.next()
        else:
            while (ch := self.peek()) and (ch.isalpha() or ch.isdecimal() or ch == "_"):
                self.next()
        return self.source[start : self.at]

    def _plain(self, name: str, start: int) -> str:
        value = self.lookup(name)
        if value is None and self.keep_unset:
            return self.source[start : self.at]
        return self._value(name, value)

    def _value(self, name: str, value: str | None) -> str:
        if value is None and self.unset:
            self.unset(name)
        return value or ""

    def _modified(self, name: str, start: int) -> str:
        operator = self.next()
        null_is_unset = operator == ":"
        if null_is_unset:
            operator = self.next()
        if not operator:
            raise _missing("}")
        if operator not in ("-+?" if null_is_unset else "-+?#%/"):
            shown = (":" if null_is_unset else "") + operator
            raise ExpansionError(f"unsupported modifier {shown!r} in the substitution of {name or 'a variable'!r}")
        if operator == "/":
            return self._replaced(name, start)
        word = self._word("}", raw_escapes=operator in "#%")
        value = self.lookup(name)
        if value is None and self.keep_unset:
            return self.source[start : self.at]
        if operator in "#%":
            return _trimmed(self._value(name, value), word, operator)
        return _alternative(name, value, operator, word, null_is_unset)

    def _word(self, stop: str, *, raw_escapes: bool) -> str:
        try:
            return self.until(stop, raw_escapes=raw_escapes)
        except ExpansionError:
            if not self.peek():
                raise _missing(stop) from None
            raise

    def _replaced(self, name: str, start: int) -> str:
        everywhere = self.peek() == "/"
        if everywhere:
            self.next()
        pattern = self._word("/", raw_escapes=True)
        replacement = self._word("}", raw_escapes=True)
        value = self.lookup(name)
        if value is None and self.keep_unset:
            return self.source[start : self.at]
        return _replaced(self._value(name, value), pattern, replacement, everywhere)


def _missing(what: str) -> ExpansionError:
    return ExpansionError(
        f"a substitution is not finished: {what!r} is missing", "write ${name}, or \\$ for a plain dollar sign"
    )


def _alternative(name: str, value: str | None, operator: str, word: str, null_is_unset: bool) -> str:
    missing = value is None or (null_is_unset and not value)
    if operator == "+":
        return "" if missing else word
    if operator == "?" and missing:
        raise ExpansionError(f"{name}: {word or ('is not set' if value is None else 'is empty')}")
    return word if missing else value or ""


def _trimmed(value: str, pattern: str, operator: str) -> str:
    """`value` without the shortest (`#`, `%`) or longest (`##`, `%%`) prefix or suffix that matches."""
    longest = pattern.startswith(operator)
    glob = _glob(pattern[longest:])
    if operator == "#":
        end = glob.prefix(value, longest=longest)
        return value if end is None else value[end:]
    end = glob.reversed().prefix(value[::-1], longest=longest)
    return value if end is None else value[: len(value) - end]


def _replaced(value: str, pattern: str, by: str, everywhere: bool) -> str:
    found = _glob(pattern).replaced(value, by, everywhere=everywhere, most=MAX_INSERTED)
    if found is None:
        raise ExpansionError(f"a substitution makes this longer than {MAX_INSERTED >> 20} MiB", _TOO_LONG)
    return found


def _glob(pattern: str) -> Glob:
    try:
        return Glob.of(pattern)
    except ValueError as error:
        raise ExpansionError(str(error)) from None
