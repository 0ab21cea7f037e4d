"""Reads the entries of a tar stream: V7, ustar, PAX and GNU, as hostile input.

Compatible with what Docker reads: global PAX headers are skipped, and links, devices, directories have no content
whatever their size field says. Anything malformed raises BadHeader or Truncated with the entry's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.errors import Integrity, InvalidInput
from layer import sparse
from layer.headers import BLOCK, byte_sum
from layer.limits import DEFAULT, Limits
from layer.pipeline import PIECE, Readable
from layer.records import MAX_ID, BadHeader, clamp, decimal, number, parse, seconds

FILE, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0123456"
_OLD_FILE, _CONTIGUOUS, _OLD_SPARSE = 0, ord("7"), ord("S")
_PAX, _GLOBAL, _SOLARIS, _LONG_NAME, _LONG_LINK = b"xgXLK"
_FILES = (FILE, _OLD_FILE, _CONTIGUOUS, _OLD_SPARSE)
_EXTENSIONS = (_PAX, _GLOBAL, _SOLARIS, _LONG_NAME, _LONG_LINK)
_ZEROS = bytes(BLOCK)
_SECOND = 1_000_000_000
_XATTR = b"SCHILY.xattr."


class Truncated(Integrity):
    """The stream ends before the archive does."""


class TooMuch(InvalidInput):
    """The archive exceeds a limit."""


class Entry:
    """One entry: numbers as in the archive (`mtime` ns since the epoch), `name` and `link` as raw bytes."""

    __slots__ = ("device", "extents", "gid", "kind", "link", "mode", "mtime", "name", "real", "size", "uid", "xattrs")

    def __init__(self, name: bytes, kind: int, mode: int, uid: int, gid: int, size: int, mtime: int) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        """Bytes of content in the stream."""
        self.mtime = mtime
        self.link = b""
        self.device = (0, 0)
        self.xattrs: dict[bytes, bytes] = {}
        self.extents: sparse.Extents | None = None
        self.real = size
        """Bytes of the file: more than `size` for a sparse one."""


def shown(name: bytes) -> str:
    """`name` for a message: printable, one line, not endless."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= 200 else text[:200] + "…"


def is_tar(head: bytes) -> bool:
    """Whether `head`, the first 512 bytes of a stream, is a header that parses: so ADD tells archives from files."""
    try:
        return len(head) >= BLOCK and head[:BLOCK] != _ZEROS and _checksum_fits(head[:BLOCK])
    except InvalidInput:
        return False


def _checksum_fits(block: bytes) -> bool:
    stored = number(block[148:156])
    computed = byte_sum(block[:148]) + 256 + byte_sum(block[156:356]) + byte_sum(block[356:])
    if stored == computed:
        return True
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:])
    return stored == signed + 256


class Archive:
    """Iterates over the entries of `stream`; between two entries, the content may be taken with `small` or `pieces`."""

    def __init__(
        self,
        stream: Readable,
        limits: Limits = DEFAULT,
        *,
        skip: Callable[[int], object] | None = None,
        told: Callable[[bytes | memoryview], object] | None = None,
    ) -> None:
        """`skip`, where the stream has it, passes over that many bytes unread (and raises where there are not so many).
        `told` gets every byte of the stream, in order, before it is handed out or passed over."""
        self._stream = stream
        self._pass_over = skip
        self._told = told
        self._limits = limits
        self._buffer = b""
        self._position = 0
        self._read = 0
        self._left = 0
        self._padding = 0
        self._last = b""
        self._sparse = 0
        self._headers = 0
        self.entries = 0
        """How many entries have been handed out."""

    def __iter__(self) -> Iterator[Entry]:
        while True:
            self._skip()
            entry = self._next()
            if entry is None:
                return
            self._last = entry.name
            self._left = entry.size
            self._padding = -entry.size % BLOCK
            self.entries += 1
            yield entry

    def count(self) -> None:
        """Count one more thing to be created against the limit."""
        self._headers += 1
        if self._headers > self._limits.entries:
            raise TooMuch(f"the archive has more than {self._limits.entries} entries, after {self._where()}")

    @property
    def offset(self) -> int:
        """How many bytes of the stream are before what comes next: the content, right after its entry."""
        return self._read - (len(self._buffer) - self._position)

    def drain(self) -> None:
        """Read whatever follows the archive's end, so that the whole stream has been seen."""
        if self._told is not None and self._position < len(self._buffer):
            self._told(memoryview(self._buffer)[self._position :])
        self._buffer, self._position = b"", 0
        while data := self._stream.read(PIECE):
            self._account(data)
            if self._told is not None:
                self._told(data)

    def small(self) -> memoryview | None:
        """All of the entry's content when it is at hand; None asks the caller to use `pieces`."""
        end = self._position + self._left
        if end > len(self._buffer):
            if self._left > PIECE or not self._fill(self._left):
                return None
            end = self._position + self._left
        view = memoryview(self._buffer)[self._position : end]
        self._position = end
        self._left = 0
        if self._told is not None:
            self._told(view)
        return view

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The entry's content, piece by piece as it comes. Raises Truncated."""
        while self._left:
            at = self._position
            if at == len(self._buffer):
                self._buffer = self._more()
                at = self._position = 0
            piece: bytes | memoryview = self._buffer
            if at or len(piece) > self._left:
                piece = memoryview(piece)[at : at + self._left]
            self._position = at + len(piece)
            self._left -= len(piece)
            if self._told is not None:
                self._told(piece)
            yield piece

    def exactly(self, count: int) -> Iterator[bytes | memoryview]:
        """The next `count` bytes of the entry's content (an extent of a sparse file)."""
        left = self._left
        self._left = count
        yield from self.pieces()
        self._left = left - count

    def _skip(self) -> None:
        self._left += self._padding
        self._padding = 0
        rest = len(self._buffer) - self._position
        if self._left <= rest:
            if self._told is not None and self._left:
                self._told(memoryview(self._buffer)[self._position : self._position + self._left])
            self._position += self._left
            self._left = 0
            return
        if self._pass_over is not None:
            self._left -= rest
            self._buffer, self._position = b"", 0
            self._pass_over(self._left)
            self._read += self._left
            self._left = 0
            return
        for _ in self.pieces():
            pass

    def _account(self, data: bytes) -> None:
        self._read += len(data)
        if self._read > self._limits.total_bytes:
            raise TooMuch(f"the archive is larger than {self._limits.total_bytes} bytes, at {shown(self._last)}")

    def _more(self) -> bytes:
        data = self._stream.read(PIECE)
        if not data:
            raise Truncated(f"the archive ends in the middle of {shown(self._last) or 'its first entry'}")
        self._account(data)
        return data

    def _fill(self, count: int) -> bool:
        """Have `count` bytes at hand; False when the stream ends before."""
        parts = [self._buffer[self._position :]]
        have = len(parts[0])
        while have < count:
            data = self._stream.read(PIECE)
            if not data:
                break
            self._account(data)
            parts.append(data)
            have += len(data)
        self._buffer = b"".join(parts) if len(parts) > 1 else parts[0]
        self._position = 0
        return have >= count

    def _block(self) -> bytes | None:
        """The next block, or None when the stream is over."""
        at = self._position
        if at + BLOCK > len(self._buffer):
            if not self._fill(BLOCK):
                if self._buffer:
                    raise Truncated(f"the archive ends in the middle of a header, after {self._where()}")
                return None
            at = 0
        self._position = at + BLOCK
        block = self._buffer[at : at + BLOCK]
        if self._told is not None:
            self._told(block)
        return block

    def _where(self) -> str:
        return shown(self._last) if self._last else "its beginning"

    def _next(self) -> Entry | None:
        """The next real entry, with the extensions before it applied; None at the archive's end."""
        records: list[tuple[bytes, bytes]] = []
        room = self._limits.extension_bytes
        while True:
            block = self._block()
            if block is None or (block[0] == 0 and block == _ZEROS):
                self._end(block, bool(records))
                return None
            self.count()
            try:
                if not _checksum_fits(block):
                    raise BadHeader("wrong checksum: this is no tar header")
                if block[156] in _EXTENSIONS:
                    room -= number(block[124:136])
                    records += self._extension(block, room)
                    continue
                return self._entry(block, records)
            except BadHeader as error:
                name = shown(block[:100].partition(b"\0")[0])
                raise BadHeader(f"{error.message}, at entry {name!r} after {self._where()}") from None

    def _end(self, block: bytes | None, extended: bool) -> None:
        if extended:
            raise Truncated(f"the archive ends after an extended header, after {self._where()}")
        if block is not None:
            second = self._block()
            if second is not None and second != _ZEROS:
                raise BadHeader(f"a lone block of zeros in the archive, after {self._where()}")

    def _extension(self, block: bytes, room: int) -> list[tuple[bytes, bytes]]:
        size = number(block[124:136])
        if size < 0 or room < 0:
            raise BadHeader(f"an extended header of {size} bytes")
        self._left, self._padding = size, -size % BLOCK
        body = b"".join(self.pieces())
        self._skip()
        kind = block[156]
        if kind in (_LONG_NAME, _LONG_LINK):
            return [(b"path" if kind == _LONG_NAME else b"linkpath", body.partition(b"\0")[0])]
        return [] if kind == _GLOBAL else parse(body)

    def _entry(self, block: bytes, records: list[tuple[bytes, bytes]]) -> Entry:
        name = block[:100].partition(b"\0")[0]
        if block[345] and block[257:263] == b"ustar\0":
            name = block[345:500].partition(b"\0")[0] + b"/" + name
        kind = block[156]
        entry = Entry(
            name, kind, number(block[100:108]) & 0o7777, number(block[108:116]), number(block[116:124]),
            number(block[124:136]), number(block[136:148]) * _SECOND,
        )  # fmt: skip
        if kind == _OLD_FILE and name.endswith(b"/"):
            entry.kind = DIRECTORY
        elif kind in (HARDLINK, SYMLINK):
            entry.link = block[157:257].partition(b"\0")[0]
        elif kind in (CHARACTER, BLOCK_DEVICE):
            entry.device = _device(number(block[329:337]), number(block[337:345]))
        if records:
            _apply_records(entry, records)
        self._check(entry)
        if entry.kind == FILE and (kind == _OLD_SPARSE or records):
            self._sparse_map(entry, block, dict(records), records)
        return entry

    def _check(self, entry: Entry) -> None:
        if not (0 <= entry.uid <= MAX_ID and 0 <= entry.gid <= MAX_ID):
            raise BadHeader(f"impossible owner {entry.uid}:{entry.gid}")
        if entry.size < 0 or entry.size > self._limits.total_bytes:
            raise BadHeader(f"impossible size {entry.size}")
        entry.mtime = clamp(entry.mtime)
        if entry.kind in _FILES:
            entry.kind = FILE
        elif FILE < entry.kind <= FIFO:
            entry.size = 0
        else:
            raise BadHeader(f"unknown type of entry {bytes([entry.kind])!r}")
        entry.real = entry.size
        longest = self._limits.path_bytes
        if len(entry.name) > longest or len(entry.link) > longest:
            raise BadHeader(f"a name longer than {longest} bytes")
        if b"\0" in entry.name or b"\0" in entry.link:
            raise BadHeader("a name with a NUL in it")

    def _sparse_map(
        self, entry: Entry, block: bytes, last: dict[bytes, bytes], records: list[tuple[bytes, bytes]]
    ) -> None:
        if block[156] == _OLD_SPARSE:
            real, numbers = number(block[483:495]), self._old_map(block)
        elif b"GNU.sparse.major" in last:
            real = decimal(last.get(b"GNU.sparse.realsize", b""))
            numbers = self._map_in_content(entry)
        elif b"GNU.sparse.size" in last or b"GNU.sparse.map" in last:
            real = decimal(last.get(b"GNU.sparse.size", b""))
            numbers = sparse.pax_map(records)
        else:
            return
        self._sparse += real
        if real < 0 or self._sparse > self._limits.sparse_bytes:
            raise BadHeader(f"a sparse file of {real} bytes")
        entry.extents = sparse.checked(numbers, entry.size, real)
        entry.real = real

    def _old_map(self, block: bytes) -> list[int]:
        numbers = sparse.old_map(block, 386, 4)
        more = block[482]
        while more:
            following = self._block()
            if following is None or len(numbers) * 12 > self._limits.extension_bytes:
                raise BadHeader("the map of a sparse file is too long")
            numbers += sparse.old_map(following, 0, 21)
            more = following[504]
        return numbers

    def _map_in_content(self, entry: Entry) -> list[int]:
        """PAX format 1.0: decimal numbers, one a line, before the content; the first counts the pairs."""
        blocks: list[bytes] = []
        lines, wanted = 0, 1
        while lines < wanted:
            block = self._block() if entry.size >= BLOCK else None
            if block is None or len(blocks) * BLOCK > self._limits.extension_bytes:
                raise BadHeader("the map of a sparse file is too long")
            entry.size -= BLOCK
            blocks.append(block)
            lines += block.count(b"\n")
            if len(blocks) == 1:
                wanted = 2 * decimal(block.partition(b"\n")[0]) + 1
        return [decimal(line) for line in b"".join(blocks).split(b"\n")[1:wanted]]


def _device(major: int, minor: int) -> tuple[int, int]:
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise BadHeader(f"impossible device {major}:{minor}")
    return major, minor


def _apply_records(entry: Entry, records: list[tuple[bytes, bytes]]) -> None:
    for key, value in records:
        if key == b"path":
            entry.name = value or entry.name
        elif key == b"linkpath":
            entry.link = value or entry.link
        elif key == b"size" and value:
            entry.size = decimal(value)
        elif key == b"uid" and value:
            entry.uid = decimal(value)
        elif key == b"gid" and value:
            entry.gid = decimal(value)
        elif key == b"mtime" and value:
            entry.mtime = seconds(value)
        elif key.startswith(_XATTR):
            entry.xattrs[key[len(_XATTR) :]] = value
    sparse_name = [value for key, value in records if key == b"GNU.sparse.name"]
    if sparse_name:
        entry.name = sparse_name[-1]
