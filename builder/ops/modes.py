"""What --chmod asks for: an octal mode, or symbolic changes as chmod(1) knows them."""

from __future__ import annotations

import re

from core.errors import InvalidInput
from core.value import Value

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*|[-+=][ugo])+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
MAX_MODE = 0o7777


class ModeChange(Value):
    """`absolute` for an octal mode, else `clauses`: who, and what to do to them, in order."""

    absolute: int | None = None
    clauses: tuple[tuple[str, str, str], ...] = ()

    def of(self, mode: int, *, directory: bool) -> int:
        """The permission bits that a file of `mode` gets."""
        if self.absolute is not None:
            return self.absolute
        result = mode & MAX_MODE
        for who, action, permissions in self.clauses:
            result = _change(result, who, action, permissions, directory)
        return result


def parse_mode(text: str) -> ModeChange:
    """`0755`, `755`, `u+rwX,go-w`. Raises InvalidInput."""
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= MAX_MODE:
        return ModeChange(int(text, 8))
    clauses: list[tuple[str, str, str]] = []
    for part in text.split(","):
        found = _CLAUSE.fullmatch(part)
        if not found:
            raise InvalidInput(
                f"invalid --chmod: {text!r}", "write an octal mode up to 7777, or changes such as u+x,go-w"
            )
        clauses += [(found[1] or "a", action[1], action[2]) for action in _ACTION.finditer(found[2])]
    return ModeChange(clauses=tuple(clauses))


def _change(mode: int, who: str, action: str, permissions: str, directory: bool) -> int:
    classes = "ugo" if "a" in who else who
    for one in classes:
        bits, mask = _wanted(mode, one, permissions, directory)
        mode &= ~(mask if action == "=" else bits)
        mode |= 0 if action == "-" else bits
    return mode | 0o1000 if "t" in permissions and action != "-" else mode & ~(0o1000 * ("t" in permissions))


def _wanted(mode: int, one: str, permissions: str, directory: bool) -> tuple[int, int]:
    """The bits that `permissions` mean for one class, and all bits of that class."""
    shift = _SHIFT[one]
    special = {"u": 0o4000, "g": 0o2000, "o": 0}[one]
    mask = 7 << shift | special
    if permissions in _SHIFT and permissions:
        return (mode >> _SHIFT[permissions] & 7) << shift, mask
    bits = sum(_BITS[p] for p in set(permissions) & set(_BITS))
    if "X" in permissions and (directory or mode & 0o111):
        bits |= 1
    return bits << shift | (special if "s" in permissions else 0), mask
