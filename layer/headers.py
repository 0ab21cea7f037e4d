"""Tar headers as the packer writes them: ustar blocks, PAX records only for what does not fit.

This encoding is part of the on-disk format (`layer.pack.PACK_VERSION`): a change of a single byte is a new version.
POSIX.1-2017 pax "ustar Interchange Format" and "pax Extended Header".
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import adler32

BLOCK = 512
FILE, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
PAX = b"x"

_MAX_ID = 0o7777777
_MAX_LONG = 0o77777777777
_NO_LINK = bytes(100)
_FRONT = b"%b%07o\0%07o\0%07o\0%011o\0"
_MAGIC = b"ustar\00000" + bytes(64) + b"%07o\0%07o\0" + bytes(167)
_PLAIN = _MAGIC % (0, 0)
PADDING = tuple(bytes(-n % BLOCK) for n in range(BLOCK))


def byte_sum(data: bytes) -> int:
    """The sum of up to 256 bytes: Adler-32's low half starts at one and wraps at 65521 only."""
    return (adler32(data) & 0xFFFF) - 1


def tail(kind: bytes, link: bytes = b"", major: int = 0, minor: int = 0) -> tuple[bytes, int]:
    """What follows the checksum (from the type flag on), and the sum of its bytes."""
    rest = (
        kind + (link.ljust(100, b"\0") if link else _NO_LINK) + (_MAGIC % (major, minor) if major or minor else _PLAIN)
    )
    return rest, byte_sum(rest[:200]) + byte_sum(rest[200:])


def block(front: bytes, mtime: int, rest: tuple[bytes, int]) -> bytes:
    """A header block of its three parts, with its checksum."""
    head = front + b"%011o\0" % mtime
    return head + b"%06o\0 " % ((adler32(head) & 0xFFFF) + 255 + rest[1]) + rest[0]


def front(name: bytes, mode: int, uid: int, gid: int, size: int) -> bytes:
    """What comes before the time: name, mode, ids, size. All must fit."""
    return _FRONT % (name.ljust(100, b"\0"), mode, uid, gid, size)


def fits(name: bytes, uid: int, gid: int, size: int, mtime: int) -> bool:
    """Whether a ustar block holds these values without PAX records."""
    return len(name) <= 100 and uid <= _MAX_ID and gid <= _MAX_ID and size <= _MAX_LONG and 0 <= mtime <= _MAX_LONG


def extended(
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    rest: tuple[bytes, int],
    link: bytes = b"",
    xattrs: Mapping[bytes, bytes] | None = None,
) -> tuple[bytes, bytes]:
    """The header of an entry that may need PAX records: (what to write, the same without anything about its time)."""
    records = {b"SCHILY.xattr." + key: value for key, value in (xattrs or {}).items()}
    if len(name) > 100:
        records[b"path"], name = name, name[:100]
    if len(link) > 100:
        records[b"linkpath"] = link
    if size > _MAX_LONG:
        records[b"size"], size = b"%d" % size, 0
    if uid > _MAX_ID:
        records[b"uid"], uid = b"%d" % uid, 0
    if gid > _MAX_ID:
        records[b"gid"], gid = b"%d" % gid, 0
    first = front(name, mode, uid, gid, size)
    timeless = _pax(records) + first + rest[0]
    if not 0 <= mtime <= _MAX_LONG:
        records[b"mtime"], mtime = b"%d" % mtime, 0
    return _pax(records) + block(first, mtime, rest), timeless


_PAX_TAIL = tail(PAX)


def _pax(records: Mapping[bytes, bytes]) -> bytes:
    body = b"".join(record(key, records[key]) for key in sorted(records))
    if not body:
        return b""
    head = block(front(b"PaxHeaders.0", 0o644, 0, 0, len(body)), 0, _PAX_TAIL)
    return head + body + PADDING[len(body) % BLOCK]


def record(key: bytes, value: bytes) -> bytes:
    """One PAX record: its length counts itself."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) + len(rest) != length:
        length += 1
    return b"%d%b" % (length, rest)
