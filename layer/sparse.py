"""The maps of sparse files, in the four encodings GNU tar has used. Pure: numbers in, checked extents out."""

from __future__ import annotations

from collections.abc import Sequence

from layer.records import BadHeader, decimal, number

Extents = tuple[tuple[int, int], ...]


def checked(numbers: Sequence[int], stored: int, real: int) -> Extents:
    """(offset, length) pairs from `numbers`: ascending, apart, within `real` bytes, `stored` bytes in all."""
    if len(numbers) % 2:
        raise BadHeader("the map of a sparse file is incomplete")
    extents = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    end = total = 0
    for offset, length in extents:
        if offset < end or length < 0:
            raise BadHeader("the map of a sparse file overlaps itself")
        end = offset + length
        total += length
    if end > real or total != stored:
        raise BadHeader("the map of a sparse file does not fit its size")
    return extents


def old_map(block: bytes, start: int, count: int) -> list[int]:
    """The pairs of an old GNU header (`start` 386, 4 pairs) or of a block that continues it (0, 21 pairs)."""
    numbers: list[int] = []
    for at in range(start, start + 24 * count, 24):
        if not block[at : at + 24].strip(b"\0 "):
            break
        numbers += (number(block[at : at + 12]), number(block[at + 12 : at + 24]))
    return numbers


def pax_map(records: Sequence[tuple[bytes, bytes]]) -> list[int]:
    """The pairs of the PAX formats 0.0 (one record a number) and 0.1 (one record)."""
    numbers: list[int] = []
    for key, value in records:
        if key == b"GNU.sparse.map" and value:
            numbers = [decimal(part) for part in value.split(b",")]
        elif key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            if (key == b"GNU.sparse.offset") is bool(len(numbers) % 2):
                raise BadHeader("the map of a sparse file is out of order")
            numbers.append(decimal(value))
    return numbers
