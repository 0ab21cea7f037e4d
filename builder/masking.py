"""Values of secrets in what steps print, made unreadable before anybody sees them: on the screen and in the logs alike.

Only the very bytes are known: what a step encodes, cuts up or writes into its files is the step's own affair.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator

from builder.stages import Output
from core.progress import Stream

MASK = b"***"
MIN_BYTES = 4  # shorter ones are in every other word
MIN_LINE_BYTES = 8
MAX_LINES = 1000
_PIECE_BYTES = 4096  # of a longer line each piece is a value of its own: so little has to be waited for


class Masked:
    """One stream: `pass_on` what comes, and at the end `rest`. What may be the beginning of a secret is kept back until
    more has come."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._values = sorted({piece for secret in secrets for piece in _pieces(secret)}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._values)))
        self._kept = b""

    def pass_on(self, data: bytes) -> bytes:
        """What may be shown now of all that has come, `data` last."""
        if not self._values:
            return data
        data, shown, place = self._kept + data, [], 0
        begun = self._begun(data, place)
        while (found := self._pattern.search(data, place)) and found.start() < begun:
            shown += [data[place : found.start()], MASK]
            place = found.end()
            begun = self._begun(data, place) if place > begun else begun
        self._kept = data[begun:]
        return b"".join([*shown, data[place:begun]])

    def rest(self) -> bytes:
        """What was kept back; no more comes."""
        kept, self._kept = self._kept, b""
        return self._pattern.sub(MASK, kept) if kept else b""

    def _begun(self, data: bytes, place: int) -> int:
        """Where the first value begins that more data could complete; the end of `data` where none does."""
        first = len(data)
        for value in self._values:
            start = data.find(value[:1], max(place, len(data) - len(value) + 1), first)
            while start >= 0 and not value.startswith(data[start:]):
                start = data.find(value[:1], start + 1, first)
            first = start if start >= 0 else first
        return first


@contextlib.contextmanager
def masking(secrets: Collection[bytes], show: Output) -> Iterator[Output]:
    """What a step may write to: `show` gets it without `secrets`, all of it when the block ends. May be used by several
    threads, one for each stream."""
    if not secrets:
        yield show
        return
    streams: dict[Stream, Masked] = {"stdout": Masked(secrets), "stderr": Masked(secrets)}
    try:
        yield lambda stream, data: show(stream, streams[stream].pass_on(data))
    finally:
        for stream, masked in streams.items():
            show(stream, masked.rest())


def _pieces(secret: bytes) -> Iterator[bytes]:
    """The value itself, or its lines."""
    lines = [line for line in secret.strip(b"\r\n").splitlines() if line][:MAX_LINES]
    for line in lines:
        if len(line) >= (MIN_BYTES if len(lines) == 1 else MIN_LINE_BYTES):
            count = -(-len(line) // _PIECE_BYTES)
            size = -(-len(line) // count)
            yield from (line[n : n + size] for n in range(0, len(line), size))
