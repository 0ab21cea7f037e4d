"""Which command left what under which name, and when: so that afterwards one can tell what must be there."""

from __future__ import annotations

import collections
import threading
import time
from math import inf
from typing import NamedTuple


class Entry(NamedTuple):
    """A command that ran from `begin` to `end` (monotonic seconds) and left `value`; None: the name is gone."""

    begin: float
    end: float
    value: str | None


class Ledger:
    """Usable from several threads. A name that nobody has written of is gone."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._entries: dict[str, list[Entry]] = collections.defaultdict(lambda: [Entry(-inf, -inf, None)])

    def add(self, name: str, begin: float, value: str | None) -> None:
        """The command has ended just now."""
        with self._guard:
            self._entries[name].append(Entry(begin, time.monotonic(), value))

    def possible(self, name: str, begin: float = inf, end: float = inf) -> set[str | None]:
        """What the name may stand for in a picture of the store that was taken from `begin` to `end`: what was left by a
        command that no other one, reported done before `begin`, began after; commands under way may count or not."""
        started = [entry for entry in self._entries[name] if entry.begin < end]
        last = max(entry.begin for entry in started if entry.end <= begin)
        return {entry.value for entry in started if entry.end >= last}

    def names(self) -> list[str]:
        """Every name that was written of."""
        return sorted(self._entries)
