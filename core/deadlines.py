"""Sockets on which an answer has to be whole in time: no trickle of bytes keeps them alive."""

from __future__ import annotations

import time
from typing import Any


class Deadline:
    """A moment, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def move(self, seconds: float) -> None:
        """To be `seconds` from now."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """In seconds. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


def timed(kind: type[Any], deadline: Deadline) -> type[Any]:
    """The class of sockets `kind`, whose every wait for bytes ends at the deadline."""

    class Timed(kind):  # type: ignore[misc]
        def recv_into(self, *args: Any) -> int:
            self.settimeout(deadline.left())
            return int(super().recv_into(*args))

    return Timed
