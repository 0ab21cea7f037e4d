"""Which stretches of data deflate could not make smaller, found by trying a little of each: they are stored as they are.

Media files, archives and keys gain nothing from the search for repeats, on either side: stored blocks (RFC 1951 section
3.2.4) cost a copy. What is decided depends on the bytes alone, so a push stays repeatable.
"""

from __future__ import annotations

from collections.abc import Iterator

STRETCH = 128 << 10
_SAMPLE = 2 << 10
_WORTH = 0.99
_MOST = 0xFFFF


def stretches(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """`data` cut into as few (start, end, worth compressing) as there are changes; a short rest is tried by nobody."""
    begin, worth = 0, True
    for at in range(0, len(data), STRETCH):
        found = _worth(data, at)
        if at and found != worth:
            yield begin, at, worth
            begin = at
        worth = found
    if data:
        yield begin, len(data), worth


def _worth(data: bytes, at: int) -> bool:
    """Two samples decide, so that a stretch of which half is worth it counts as such. The quick try with a fixed code
    settles most; what it cannot shorten is asked again with a code of its own."""
    if len(data) - at < STRETCH:
        return True
    from isal import igzip_lib

    first, second = at + STRETCH // 4, at + 3 * STRETCH // 4
    sample = data[first : first + _SAMPLE] + data[second : second + _SAMPLE]
    return any(
        len(igzip_lib.compress(sample, level, igzip_lib.COMP_DEFLATE)) < _WORTH * len(sample) for level in (0, 1)
    )


def stored(data: memoryview) -> list[bytes | memoryview]:
    """`data` as stored blocks, none of them the last of a stream; to begin on a byte boundary, and ends on one."""
    parts: list[bytes | memoryview] = []
    for at in range(0, len(data), _MOST):
        piece = data[at : at + _MOST]
        parts += (b"\0" + len(piece).to_bytes(2, "little") + (len(piece) ^ _MOST).to_bytes(2, "little"), piece)
    return parts
