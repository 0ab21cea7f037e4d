"""Hashing that loads OpenSSL only for what is large: for a few kilobytes, loading it takes longer than hashing."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib

SMALL_BYTES = 64 << 10


def hasher(algorithm: str, size: int) -> hashlib._Hash:
    """A new hash object for about `size` bytes. Raises ValueError for an algorithm that nobody knows."""
    if algorithm == "sha256" and size <= SMALL_BYTES and "hashlib" not in sys.modules:
        try:
            found: hashlib._Hash = __import__("_sha256").sha256()  # CPython 3.11's own
            return found
        except ImportError:  # later ones have theirs elsewhere, and load OpenSSL faster
            pass
    import hashlib

    return hashlib.new(algorithm)
