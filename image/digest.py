"""The three kinds of hash, as types that do not mix (image-spec descriptor.md "Digests", config.md "Layer DiffID").

`Digest` names bytes as they are stored and sent, `DiffID` an uncompressed layer tar, `ChainID` a stack of layers.
Each is a `str` of the form `algorithm:hex`, so it prints, compares and serialises as itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import InvalidInput
from core.hashing import hasher
from core.words import HEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_LENGTHS = {"sha256": 64, "sha512": 128}


class _Hash(str):
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """`text` checked against the grammar. Raises InvalidInput: nothing else may build one from outside input."""
        algorithm, _, digits = text.partition(":")
        length = _LENGTHS.get(algorithm)
        if length is None or len(digits) != length or set(digits) - HEX:
            raise InvalidInput(f"invalid digest: {text[:150]!r}", "write it as sha256: and 64 hexadecimal digits")
        return cls(text)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """The hash of `data`, for small things already in memory."""
        found = hasher(algorithm, len(data))
        found.update(data)
        return cls(f"{algorithm}:{found.hexdigest()}")

    @property
    def algorithm(self) -> str:
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first 12 hex digits, as people read them."""
        return self.hex[:12]


class Digest(_Hash):
    """The hash of a blob's bytes."""

    __slots__ = ()


class DiffID(_Hash):
    """The hash of a layer's uncompressed tar."""

    __slots__ = ()


class ChainID(_Hash):
    """The hash of a stack of layers (image-spec config.md "Layer ChainID")."""

    __slots__ = ()


def chain_id(diff_ids: Iterable[DiffID]) -> ChainID | None:
    """The ChainID of the stack, bottom first; None of an empty one."""
    chain: ChainID | None = None
    for diff_id in diff_ids:
        chain = ChainID.of(f"{chain} {diff_id}".encode()) if chain else ChainID(diff_id)
    return chain
