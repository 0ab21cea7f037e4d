"""Which IDs an ordinary user may use in a user namespace beside the own one: /etc/subuid and /etc/subgid (subuid(5))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Self

from core.errors import Unavailable
from core.value import Value

Ranges = tuple[tuple[int, int], ...]  # first ID and how many
WANTED = 65536
HINT = "`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`, by root, gives them some"


class Maps(Value):
    """What is mapped into the namespace: root to the user, then the subordinate IDs from 1 on. `whole`: there are any, and the
    programs that may map them."""

    uids: Ranges
    gids: Ranges
    whole: bool

    @classmethod
    def of_this_user(cls, warn: Callable[[str, str], object]) -> Self:
        """Read from the system's files; `warn` is told why there is only the user's own ID, and what helps."""
        user = _name()
        uids, gids = (_ranges(f"/etc/{file}", user) for file in ("subuid", "subgid"))
        missing = [program for program in _PROGRAMS if not _path(program)]
        if missing:
            warn(f"{missing[0]} is not installed: images have one owner only, you", "install uidmap")
        elif not (uids and gids):
            warn(f"{user} has no subordinate IDs: images have one owner only, you", HINT.format(user=user))
        return cls(uids, gids, bool(uids and gids and not missing))

    def write(self, pid: int) -> None:
        """Map them for the process `pid`, which has just made its user namespace. From outside of that. Raises Unavailable."""
        own = ((os.geteuid(), 1), *self.uids), ((os.getegid(), 1), *self.gids)
        read, write = os.pipe()
        children = [
            os.posix_spawn(
                _path(program), [program, str(pid), *_words(ranges)], {},
                file_actions=[(os.POSIX_SPAWN_DUP2, write, 2)],
            )
            for program, ranges in zip(_PROGRAMS, own, strict=True)
        ]  # fmt: skip
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            said = pipe.read().decode(errors="replace").strip()
        statuses = [os.waitpid(child, 0)[1] for child in children]
        if any(statuses):
            raise Unavailable(f"your subordinate IDs could not be mapped: {said}", "see /etc/subuid and /etc/subgid")


_PROGRAMS = ("newuidmap", "newgidmap")


def _path(program: str) -> str:
    places = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/wrappers/bin")
    return next((f"{place}/{program}" for place in places if os.access(f"{place}/{program}", os.X_OK)), "")


def _words(ranges: Ranges) -> Sequence[str]:
    words, inside = [], 0
    for first, count in ranges:
        words += [str(inside), str(first), str(count)]
        inside += count
    return words


def _name() -> str:
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def _ranges(path: str, user: str) -> Ranges:
    """The ranges that the file gives to the user, by name or number."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.strip().split(":")
            if len(words) == 3 and words[0] in (user, str(os.geteuid())) and all(w.isdecimal() for w in words[1:]):
                found.append((int(words[1]), int(words[2])))
    return tuple(found)
