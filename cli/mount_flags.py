"""--tmpfs as values."""

from __future__ import annotations

from collections.abc import Iterable

from cli.volume_flags import target_of
from runtime.mounts import Mount


def tmpfs(flags: Iterable[str]) -> tuple[Mount, ...]:
    """`--tmpfs TARGET[:OPTIONS]`."""
    found = []
    for flag in flags:
        target, _, options = flag.partition(":")
        words = tuple(options.split(",")) if options else ("noexec",)
        found.append(Mount("", target_of(target, flag), "tmpfs", "ro" in words, tuple(w for w in words if w != "ro")))
    return tuple(found)
