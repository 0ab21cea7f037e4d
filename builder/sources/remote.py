"""Everything of one build that is elsewhere. What speaks to web servers and what runs git are loaded when they are used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from builder.sources.address import GitAddress
from builder.sources.web import Outside
from store.caches import Caches
from store.temporary import Temporaries

if TYPE_CHECKING:
    from builder.sources.git import Git
    from builder.sources.http import Downloads, Notes

_PAUSE_SECONDS = 0.05


def _pause() -> None:
    time.sleep(_PAUSE_SECONDS)


class Remote:
    """What a server says counts for the whole build; with `fresh`, what `notes` says counts for nothing. May be used by
    several threads; `close` when the build is over."""

    def __init__(
        self, outside: Outside, temporaries: Temporaries, caches: Caches, notes: Notes | None = None, *, fresh: bool = False,
        pause: Callable[[], None] = _pause, check: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`pause` lets a moment pass while something is waited for, `check` is called while something is fetched; both may
        raise to end it."""
        self._outside = outside
        self._temporaries = temporaries
        self._caches = caches
        self._pause, self._check = pause, check
        self._notes = notes
        self._fresh = fresh
        self._guard = threading.Lock()
        self._downloads: Downloads | None = None
        self._commits: dict[GitAddress, str] = {}

    @property
    def http(self) -> Downloads:
        """Files of web servers."""
        from builder.sources.http import Downloads

        with self._guard:
            if self._downloads is None:
                self._downloads = Downloads(self._outside, self._temporaries, self._notes, fresh=self._fresh)
            return self._downloads

    @cached_property
    def git(self) -> Git:
        """Repositories; it keeps nothing, so that two of it would do no harm."""
        from builder.sources.git import Git

        return Git(self._outside, self._temporaries, self._caches, self._pause, self._check)

    def commit(self, address: GitAddress) -> str:
        """The commit that `address` means, asked for once. Raises as Git.resolve."""
        with self._guard:
            found = self._commits.get(address)
        if found is None:
            found = self.git.resolve(address)
            with self._guard:
                found = self._commits.setdefault(address, found)
        return found

    def close(self) -> None:
        """Harmless to repeat."""
        if self._downloads:
            self._downloads.close()
