"""The files of an unpacked layer beside the tar they came from: byte by byte, as the tar streams by."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from layer.listing import MAX_DIFFERENCES, Place
from layer.reader import shown

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Comparison:
    """Give `write` the whole tar; `wrong` then has a sentence for each file that differs (at most 100).

    Every file has been found to be there, in its size (`listing.verify`); who believes the result has to know the tar's
    DiffID to be right. Raises OSError.
    """

    def __init__(self, directory: Path, places: Iterable[Place]) -> None:
        self._directory = os.fsencode(directory)
        self._ahead = sorted(places, reverse=True)
        self._here: list[Place] = []
        self._at = 0
        self.wrong: list[str] = []

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes of the tar."""
        begin, end = self._at, self._at + len(data)
        while self._ahead and self._ahead[-1][0] < end:
            self._here.append(self._ahead.pop())
        self._here = [place for place in self._here if self._same(place, begin, memoryview(data)) and _end(place) > end]
        self._at = end

    def close(self) -> None:
        """The tar has come to its end: nothing may be left to compare."""
        self._report(*self._here, *self._ahead)
        self._here, self._ahead = [], []

    def _same(self, place: Place, begin: int, data: memoryview) -> bool:
        """Whether the file has what `data`, which begins at `begin`, has of it."""
        offset, size, path = place
        first, last = max(offset, begin), min(offset + size, begin + len(data))
        fd = os.open(os.path.join(self._directory, path), _OPEN)
        try:
            at = first
            while at < last:
                there = os.pread(fd, last - at, at - offset)
                if not there or there != bytes(data[at - begin : at - begin + len(there)]):
                    self._report(place)
                    return False
                at += len(there)
        finally:
            os.close(fd)
        return True

    def _report(self, *places: Place) -> None:
        room = MAX_DIFFERENCES - len(self.wrong)
        self.wrong += [f"/{shown(path)}: content is not what the layer's tar has" for _, _, path in places[:room]]


def _end(place: Place) -> int:
    return place[0] + place[1]
