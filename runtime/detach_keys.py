"""The keys that leave a container to itself: `ctrl-p,ctrl-q` unless others are asked for."""

from __future__ import annotations

from core.errors import InvalidInput

DEFAULT = b"\x10\x11"


def parse(text: str) -> bytes:
    """The bytes that a list of single characters and `ctrl-X` stands for. Raises InvalidInput."""
    return bytes(_key(word) for word in text.split(",")) if text else DEFAULT


def _key(word: str) -> int:
    if len(word) == 1 and word.isascii():
        return ord(word)
    letter = word.lower().removeprefix("ctrl-")
    if word.lower().startswith("ctrl-") and len(letter) == 1 and letter in "@abcdefghijklmnopqrstuvwxyz[\\]^_":
        return ord(letter.upper()) - ord("@")
    if word == "DEL":
        return 127
    raise InvalidInput(
        f"invalid detach keys ({word}): Unknown character: '{word}'", "such as ctrl-p,ctrl-q or ctrl-x,x"
    )


class Watch:
    """Finds the keys in what is typed, however it comes in pieces: fingers are slower than a read."""

    def __init__(self, keys: bytes = DEFAULT) -> None:
        self._keys = keys
        self._held = b""

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """What is for the container, and whether the keys came. Their beginning is held back until it is known what follows."""
        if not self._keys:
            return data, False
        before, found, _ = (self._held + data).partition(self._keys)
        self._held = b"" if found else self._beginning(before)
        return before[: len(before) - len(self._held)], bool(found)

    def _beginning(self, data: bytes) -> bytes:
        for size in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if data.endswith(self._keys[:size]):
                return self._keys[:size]
        return b""
