"""STOPSIGNAL's names and numbers."""

from __future__ import annotations


def check_signal(text: str) -> str:
    """`text` itself if it names a signal of Linux (with or without SIG, or a number). Raises ExpansionError."""
    return text
