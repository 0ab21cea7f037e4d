"""Archives among the sources of ADD: told by their content, never by their name."""

from __future__ import annotations

from pathlib import Path

from core.errors import Integrity, InvalidInput

_BLOCK = 512
_CHECKSUM = slice(148, 156)


def is_archive(path: Path) -> bool:
    """Whether the file is a tar, compressed or not: its first header must have a right checksum."""
    from layer.compression import decompressor

    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            stream = decompressor(file)
            head = b""
            while len(head) < _BLOCK and (piece := stream.read(_BLOCK - len(head))):
                head += piece
    except (Integrity, InvalidInput, OSError):
        return False
    return any(head) and is_tar(head)


def unpack(path: Path, root: Path, destination: str, owner: tuple[int, int] | None) -> bool:
    """Unpack the file into `destination` inside `root` if it is an archive; whether it was. Raises as `layer.apply.extract`."""
    from layer.apply import extract
    from layer.compression import decompressor
    from layer.handover import ReadAhead

    if not is_archive(path):
        return False
    with path.open("rb") as file, ReadAhead(decompressor(file)) as tar:
        extract(tar, root, destination, owner=owner, durable=True)
    return True


def is_tar(block: bytes) -> bool:
    """Whether these are the first 512 bytes of a tar archive: an entry's header with a right checksum, or an empty one."""
    if len(block) < _BLOCK:
        return False
    if not any(block):
        return True
    text = block[_CHECKSUM].strip(b" \0")
    if not text or set(text) - set(b"01234567"):
        return False
    return sum(block[: _CHECKSUM.start]) + 8 * ord(" ") + sum(block[_CHECKSUM.stop : _BLOCK]) == int(text, 8)
