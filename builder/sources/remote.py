"""Everything of one build that is elsewhere."""

from __future__ import annotations

import threading

from builder.sources.address import GitAddress
from builder.sources.git import Git
from builder.sources.http import Downloads, Notes
from builder.sources.web import Outside
from store.temporary import Temporaries


class Remote:
    """What a server says counts for the whole build; with `fresh`, what `notes` says counts for nothing. May be used by
    several threads; `close` when the build is over."""

    def __init__(
        self, outside: Outside, temporaries: Temporaries, notes: Notes | None = None, *, fresh: bool = False
    ) -> None:
        self.http = Downloads(outside, temporaries, notes, fresh=fresh)
        self.git = Git(outside, temporaries)
        self._guard = threading.Lock()
        self._commits: dict[GitAddress, str] = {}

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
        self.http.close()
