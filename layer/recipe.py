"""The recipe of a foreign tar: what our packer would not write again, and which file's content comes in between.

So nothing of an uncompressed tar is kept twice: its headers and padding are in the recipe, its contents in the layer's
directory, and both together are the very bytes that came. A recipe is `MAGIC` and records: `L`, a length and that many bytes
of the tar; `F`, a length, the length of a path, and the path of a file whose content has that many bytes. It is kept compressed,
and is part of the on-disk format: what a change cannot read again needs another `MAGIC`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from core.errors import Integrity
from core.value import Value
from layer.pack import place
from layer.pipeline import PIECE, Hasher, Readable
from layer.reader import shown
from layer.walk import MAX_PATH

MAGIC = b"lamella recipe 1\n"
_LITERAL, _FILE = struct.Struct("<cI"), struct.Struct("<cQH")
_SMALL = 256 << 10
_FLUSH = 512 << 10
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
Write = Callable[[bytes | memoryview], object]


class BadRecipe(Integrity):
    """A recipe is not what `Recorder` wrote."""


class Lost(Integrity):
    """A file that a recipe needs is not there in its whole length."""


class Stored(Value):
    """The whole content of a file: its path below the layer's directory, its bytes."""

    path: bytes
    size: int


class Recorder:
    """Writes a recipe while a tar is unpacked, and hashes the tar as it does: `take` gets every byte of it in order, and `file`
    says before the content of a file that it is in the directory. So a wrong recipe has a wrong DiffID.

    Its records, and what `set_aside` took, lie in the directory `home`: they are part of the recipe when it is written, and go with
    `home`. To be closed.
    """

    def __init__(self, home: Path, algorithm: str = "sha256") -> None:
        self._home = home
        self._algorithm = algorithm
        self._hasher = Hasher(algorithm)
        self._records = open(home / "recipe", "x+b", buffering=PIECE)
        self._unhashed: list[bytes | memoryview] = []
        self._unhashed_size = 0
        self._literals: list[bytes | memoryview] = []
        self._literals_size = 0
        self._content = 0
        self._files = 0
        self._aside: dict[bytes, list[tuple[int, int]]] = {}
        self._set_aside = 0
        self._outline = sha256(), sha256()
        self._literal_bytes = 0

    @property
    def count(self) -> int:
        """The bytes of the tar so far."""
        return self._hasher.count + self._unhashed_size

    def take(self, data: bytes | memoryview) -> None:
        """The next bytes of the tar, which do not change afterwards."""
        size = len(data)
        if size > _SMALL:
            self._hash()
            self._hasher.update(data)
        else:
            self._unhashed.append(data)
            self._unhashed_size += size
            if self._unhashed_size > _FLUSH:
                self._hash()
        if self._content:
            self._content -= size
            return
        self._literals.append(data)
        self._literals_size += size
        if self._literals_size > _FLUSH:
            self._flush()

    def file(self, path: bytes, size: int) -> None:
        """The next `size` bytes are the content of the new file `path`."""
        self._flush()
        self._records.write(_FILE.pack(b"F", size, len(path)) + path)
        self._outline[1].update(place(self._literal_bytes, size, path))
        self._files += 1
        self._content = size

    def set_aside(self, directory: int, name: bytes, path: bytes) -> None:
        """Take the entry `name` out of the open `directory`, instead of removing it; `path` is its path below the root."""
        aside = self._home / "aside"
        aside.mkdir(0o700, exist_ok=True)
        os.rename(name, os.fsencode(aside / str(self._set_aside)), src_dir_fd=directory)
        self._aside.setdefault(path, []).append((self._files, self._set_aside))
        self._set_aside += 1

    def _hash(self) -> None:
        if self._unhashed:
            self._hasher.update(b"".join(self._unhashed))
            self._unhashed.clear()
            self._unhashed_size = 0

    def _flush(self) -> None:
        data = b"".join(self._literals)
        self._literals.clear()
        self._literals_size = 0
        self._literal_bytes += len(data)
        self._outline[0].update(data)
        _write_literal(self._records.write, data)

    def digest(self) -> str:
        """The tar's digest, as "algorithm:hex". To be called once, at the tar's end."""
        self._hash()
        self._flush()
        return f"{self._algorithm}:{self._hasher.hexdigest()}"

    def outline(self) -> str:
        """What `layer.pack.outline` says of the directory if packing it makes this very tar."""
        return " ".join(half.hexdigest() for half in self._outline)

    def write(self, write: Write) -> None:
        """The whole recipe, after `digest`. Raises OSError."""
        write(MAGIC)
        self._records.seek(0)
        files = 0
        for piece in _records(self._records):
            if not isinstance(piece, Stored):
                _write_literal(write, piece)
                continue
            path = self._moved(piece.path, files) if self._aside else None
            files += 1
            if path is None:
                write(_FILE.pack(b"F", piece.size, len(piece.path)) + piece.path)
            else:
                for data in _content(os.fsencode(self._home) + b"/aside/" + path, piece):
                    _write_literal(write, data)

    def _moved(self, path: bytes, number: int) -> bytes | None:
        """Where below `aside` the `number`-th file is, which was written to `path`; None where it has stayed."""
        found: list[tuple[int, int, bytes]] = []
        at = len(path)
        while at > 0:
            moves = self._aside.get(path[:at], ())
            found += [(files, aside, path[at:]) for files, aside in moves if files > number][:1]
            at = path.rfind(b"/", 0, at)
        if not found:
            return None
        _, aside, rest = min(found, key=lambda move: move[1])
        return b"%d%b" % (aside, rest)

    def close(self) -> None:
        """Harmless to repeat."""
        self._hasher.close()
        self._records.close()


def remake(recipe: Readable, directory: Path, write: Write) -> None:
    """Give the tar to `write`, piece by piece, out of its uncompressed `recipe` and the layer's `directory`.

    Raises BadRecipe, Lost, OSError; who believes the bytes has to hash them.
    """
    if recipe.read(len(MAGIC)) != MAGIC:
        raise BadRecipe("this is no recipe of a tar that this lamella knows")
    root = os.fsencode(directory) + b"/"
    parts: list[bytes] = []
    size = 0
    for piece in _records(recipe):
        for data in _content(root + piece.path, piece) if isinstance(piece, Stored) else (piece,):
            parts.append(data)
            size += len(data)
            if size > _SMALL:
                write(b"".join(parts) if len(parts) > 1 else data)
                parts.clear()
                size = 0
    if parts:
        write(b"".join(parts))


def _content(path: bytes, stored: Stored) -> Iterator[bytes]:
    import stat

    fd = _open(path)
    try:
        left = stored.size
        while left and stat.S_ISREG(os.fstat(fd).st_mode) and (data := os.read(fd, min(left, PIECE))):
            left -= len(data)
            yield data
    finally:
        os.close(fd)
    if left:
        raise Lost(f"/{shown(stored.path)} has lost {left} of its {stored.size} bytes")


def _open(path: bytes) -> int:
    try:
        return os.open(path, _OPEN | os.O_NOATIME)
    except PermissionError:  # O_NOATIME is for owners only
        return os.open(path, _OPEN)


def _write_literal(write: Write, data: bytes) -> None:
    for at in range(0, len(data), PIECE):
        piece = data[at : at + PIECE]
        write(_LITERAL.pack(b"L", len(piece)) + piece)


def _records(stream: Readable) -> Iterator[bytes | Stored]:
    """The records of a recipe, whose magic has been read. Raises BadRecipe."""
    source = _Exactly(stream)
    while kind := source.take(1, end=True):
        if kind == b"L":
            size = _LITERAL.unpack(kind + source.take(_LITERAL.size - 1))[1]
            yield source.take(_checked(size, PIECE))
        elif kind == b"F":
            _, size, length = _FILE.unpack(kind + source.take(_FILE.size - 1))
            yield Stored(source.take(_checked(length, MAX_PATH)), size)
        else:
            raise BadRecipe(f"a record of a recipe begins with {kind!r}")


def _checked(size: int, limit: int) -> int:
    if not 0 < size <= limit:
        raise BadRecipe(f"a record of {size} bytes in a recipe")
    return size


class _Exactly:
    """Reads a stream by the bytes that are wanted."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0

    def take(self, size: int, *, end: bool = False) -> bytes:
        """The next `size` bytes; none where the stream is over and `end` allows that. Raises BadRecipe."""
        while len(self._buffer) - self._at < size:
            more = self._stream.read(PIECE)
            if not more:
                if end and self._at == len(self._buffer):
                    return b""
                raise BadRecipe("a recipe is cut short")
            self._buffer = self._buffer[self._at :] + more
            self._at = 0
        self._at += size
        return self._buffer[self._at - size : self._at]
