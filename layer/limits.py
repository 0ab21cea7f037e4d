"""How much an archive may ask for. Whatever exceeds a limit is refused as InvalidInput."""

from __future__ import annotations

from core.value import Value


class Limits(Value):
    """Generous for honest archives; a hostile one is stopped before it fills memory."""

    entries: int = 4_000_000
    """Headers in the archive plus directories created for names below them."""
    total_bytes: int = 1 << 40
    """Bytes of the uncompressed archive."""
    sparse_bytes: int = 64 << 30
    """Bytes that all sparse files together pretend to have."""
    extension_bytes: int = 1 << 20
    """Bytes of one PAX or GNU long-name header."""
    path_bytes: int = 4096
    """Bytes of a name or a link's target (the kernel's PATH_MAX)."""


DEFAULT = Limits()
