"""EXPOSE's ports in the config's form."""

from __future__ import annotations

from collections.abc import Iterable


def exposed(words: Iterable[str]) -> tuple[str, ...]:
    """`80`, `53/udp`, `8000-8002` as `80/tcp`, `53/udp`, ...: sorted, each once. Raises ExpansionError."""
    return tuple(words)
