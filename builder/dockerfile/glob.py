"""The patterns in `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*`, `?` and escapes, no brackets.

As BuildKit has them, neither sign matches a line's end. Matching takes time in proportion to the text: what stands before the
last `*` is taken where it is found first, and never looked for again.
"""

from __future__ import annotations

import re

from core.value import Value

_MAY_BE_ESCAPED = ("*", "?", "\\", "}", "/")
_ANY = ""


class Glob(Value):
    """`parts` are what stands between the `*`: one sign each, `_ANY` for `?`."""

    parts: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, pattern: str) -> Glob:
        """Raises ValueError for an escape that means nothing."""
        parts: list[list[str]] = [[]]
        characters = iter(pattern)
        for ch in characters:
            if ch == "*":
                parts.append([])
            elif ch == "\\":
                escaped = next(characters, "")
                if escaped not in _MAY_BE_ESCAPED:
                    raise ValueError(f"invalid escape '\\{escaped}' in the pattern {pattern!r}")
                parts[-1].append(escaped)
            else:
                parts[-1].append(_ANY if ch == "?" else ch)
        return cls(tuple(map(tuple, parts)))

    def reversed(self) -> Glob:
        """The pattern of the same texts read backwards."""
        return Glob(tuple(part[::-1] for part in self.parts[::-1]))

    def prefix(self, value: str, *, longest: bool) -> int | None:
        """Where the longest or shortest beginning of `value` that matches ends; None where there is none."""
        found = re.compile(_one(self.parts[0]) + self._rest(longest=longest)).match(value)
        return found.end() if found else None

    def replaced(self, value: str, by: str, *, everywhere: bool, most: int) -> str | None:
        """`value` with the first match (as long as can be), or all of them, replaced; None if it gets longer than `most`.

        A match of nothing that follows another match does not count, as in Go.
        """
        out, done, at, last, left = [], 0, 0, -1, most - len(value)
        first, rest = re.compile(_one(self.parts[0])), re.compile(self._rest(longest=True))
        while at <= len(value) and (found := _find(value, at, first, rest)):
            start, end = found
            if start < end or start != last:
                out += [value[done:start], by]
                done = last = end
                left += end - start - len(by)
                if left < 0:
                    return None
                if not everywhere:
                    break
            at = max(end, start + 1)
        return "".join(out) + value[done:]

    def _rest(self, *, longest: bool) -> str:
        """What follows the first part, as a regular expression that does not go back, but over the last `*`."""
        if len(self.parts) == 1:
            return ""
        *between, last = self.parts[1:]
        taken = "".join(f"(?>.*?{_one(part)})" for part in between)
        return f"{taken}.*{_one(last)}" if longest else f"{taken}(?>.*?{_one(last)})"


def _one(part: tuple[str, ...]) -> str:
    return "".join(re.escape(ch) if ch else "." for ch in part)


def _find(value: str, at: int, first: re.Pattern[str], rest: re.Pattern[str]) -> tuple[int, int] | None:
    """The first match at or after `at`. Where the rest does not follow in a line, it follows nowhere later in it either."""
    while start := first.search(value, at):
        end = rest.match(value, start.end())
        if end:
            return start.start(), end.end()
        at = value.find("\n", start.end()) + 1
        if not at:
            return None
    return None
