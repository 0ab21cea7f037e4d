"""`.dockerignore` and `COPY --exclude`: which paths of a context are not there.

Rules are in order and the last one that matches decides. A rule matches a path when it matches the path itself or any
directory above it, so whole directories can be left out without a look inside, unless a `!` rule could reach in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from builder.dockerfile.expand import SPACES
from builder.dockerfile.wildcard import (
    SLASH,
    Piece,
    compile_name,
    crosses,
    expression,
    has_wildcard,
    pieces,
    tamed,
    unescaped,
)
from core.errors import InvalidInput
from core.value import Value, field

_BOM = b"\xef\xbb\xbf"


class Rule(Value):
    """One pattern, cleaned; `again` for a `!` rule, which brings paths back. `line` is 0 where there is no file."""

    pattern: str
    again: bool
    line: int
    matcher: re.Pattern[str] = field(compare=False, repr=False)

    def could_match_below(self, directory: str) -> bool:
        """Whether this rule might match something inside `directory` that it does not match itself."""
        if "[" in self.pattern:
            return True  # a class may hold a slash; such rules are too rare to think about
        names = self.pattern.split("/")
        for number, name in enumerate(directory.split("/")):
            if number >= len(names):
                return False
            if "**" in names[number]:
                return True
            matches = compile_name(names[number]).fullmatch(name) if has_wildcard(names[number]) else None
            if not matches and unescaped(names[number]) != name:
                return False
        return len(names) > len(directory.split("/"))


# What the directories above a path did to each run of rules; given from a directory to what is in it.
State = tuple[bool, ...]


class Ignore(Value):
    """A list of rules, ready to match. `name` is what messages call the file they came from."""

    rules: tuple[Rule, ...] = ()
    name: str = ".dockerignore"
    # Neighbouring rules of one kind as one expression, last first.
    _runs: tuple[tuple[bool, re.Pattern[str]], ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def parse(cls, data: bytes, name: str = ".dockerignore") -> Ignore:
        """The rules of an ignore file. Raises InvalidInput with the line."""
        rules = []
        for number, line in enumerate(data.removeprefix(_BOM).split(b"\n"), 1):
            text = line.decode("utf-8", "surrogateescape")
            if text.startswith("#") or not text.strip(SPACES):
                continue
            try:
                rules.append(_rule(text, number))
            except InvalidInput as error:
                raise InvalidInput(f"{name}:{number}: {error.message}", error.hint) from None
        return cls(tuple(rules), name, _runs(rules))

    @classmethod
    def of(cls, patterns: Iterable[str], name: str = "--exclude") -> Ignore:
        """The same from a list of patterns. Raises InvalidInput."""
        rules = [_rule(pattern, 0) for pattern in patterns if pattern.strip(SPACES)]
        return cls(tuple(rules), name, _runs(rules))

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def has_again(self) -> bool:
        """Whether any rule brings something back."""
        return any(rule.again for rule in self.rules)

    def start(self) -> State:
        """The state at the root."""
        return (False,) * len(self._runs)

    def ignores(self, path: str) -> bool:
        """Whether `path` (relative, with `/`, no `.` in it) is left out."""
        state, parent = self.start(), ""
        for name in path.split("/")[:-1]:
            parent = f"{parent}/{name}" if parent else name
            state = self.enter(parent, state)
        return self.ignores_in(path, state)

    def ignores_in(self, path: str, state: State) -> bool:
        """The same where `state` is that of the directory that holds `path`: one match for each run of rules at most."""
        for (again, matcher), above in zip(self._runs, state, strict=True):
            if above or matcher.fullmatch(path):
                return not again
        return False

    def enter(self, directory: str, state: State) -> State:
        """The state inside `directory`, given the state around it."""
        return tuple(
            above or matcher.fullmatch(directory) is not None
            for (_, matcher), above in zip(self._runs, state, strict=True)
        )

    def skips(self, directory: str) -> bool:
        """Whether nothing inside `directory`, itself left out, can come back: then nobody needs to look."""
        return not any(rule.again and rule.could_match_below(directory) for rule in self.rules)

    def reaches_below(self, directory: str) -> bool:
        """Whether any rule at all might match something inside `directory`."""
        return any(rule.could_match_below(directory) for rule in self.rules)

    def reason(self, path: str) -> Rule | None:
        """The rule that leaves `path` out, or None when it is not left out."""
        parts = path.split("/")
        paths = ["/".join(parts[: number + 1]) for number in range(len(parts))]
        for rule in reversed(self.rules):
            if any(rule.matcher.fullmatch(one) for one in paths):
                return None if rule.again else rule
        return None


def _runs(rules: list[Rule]) -> tuple[tuple[bool, re.Pattern[str]], ...]:
    from itertools import groupby

    return tuple(
        (again, re.compile("|".join(f"(?:{rule.matcher.pattern})" for rule in run), re.DOTALL))
        for again, run in groupby(reversed(rules), lambda rule: rule.again)
    )


def _rule(text: str, line: int) -> Rule:
    text = text.strip(SPACES)
    again = text.startswith("!")
    pattern = _clean(text[1:].strip(SPACES) if again else text)
    if not pattern:
        raise InvalidInput("a lone ! brings nothing back", "write a pattern after it, such as !README.md")
    return Rule(pattern, again, line, re.compile(_translate(pattern), re.DOTALL))


def _clean(pattern: str) -> str:
    """As Go's `filepath.Clean`, and without a leading `/`."""
    if not pattern:
        return ""
    parts: list[str] = []
    for part in pattern.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part == ".." and pattern.startswith("/"):
            continue
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or ("/" if pattern.startswith("/") else ".")


def _translate(pattern: str) -> str:
    """`pattern` as a regular expression for whole paths. `**` is any depth; see reference 1.6 for its corners."""
    found = tamed(pieces(pattern))
    if pattern.startswith("**") and all(kind == "text" for kind, _ in found[2:]):
        # `**foo` is any path that ends so, `**/foo` any that ends with that name.
        end = "".join(one for _, one in found[2:])
        return f"(?:.*{end}|{end.removeprefix('/')})" if end.startswith("/") else f".*{end}"
    runs, ends_open = _runs_between(found)
    first, *rest = runs
    between, last = (rest, None) if ends_open else (rest[:-1], rest[-1:])
    out = [expression(first), *map(_anywhere, between)]
    out += [".*"] if last is None else [f"(?:.*/)?{expression(run)}" for run in last]
    return "".join(out)


def _runs_between(found: Sequence[Piece]) -> tuple[list[list[Piece]], bool]:
    """What stands between the `**` (each taken with the slash after it), and whether one is at the very end."""
    runs: list[list[Piece]] = [[]]
    at = 0
    while at < len(found):
        if [kind for kind, _ in found[at : at + 2]] != ["star", "star"]:
            runs[-1].append(found[at])
            at += 1
            continue
        at += 3 if found[at + 2 : at + 3] == [SLASH] else 2
        if len(runs) == 1 or runs[-1]:  # of several in a row one is enough
            runs.append([])
        if at == len(found):
            return runs[:-1], True
    return runs, False


def _anywhere(run: Sequence[Piece]) -> str:
    """A run below any directory. Whole names are settled where they are found first, or `**` after `**` would take for ever."""
    if run[-1] == SLASH and not crosses(run):
        return f"(?>(?:.*?/)??{expression(run)})"
    return f"(?:.*/)?{expression(run)}"
