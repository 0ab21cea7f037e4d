"""Who was pulled lately: remembered in memory, written down now and then."""

from __future__ import annotations

MOST = 100_000  # between two writings; what is beyond is not noted


class Pulls:
    """For the event loop's thread alone."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def note(self, repository: str, reference: str) -> None:
        """A manifest was asked for by tag or digest."""
        if len(self._seen) < MOST:
            self._seen.add((repository, reference))

    def take(self) -> list[tuple[str, str]]:
        """Those since the last time."""
        seen, self._seen = self._seen, set()
        return list(seen)
