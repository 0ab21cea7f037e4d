"""What a layer's directory changes with respect to the layers below it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from core.value import Value
from layer.overlayfs import OPAQUE_ATTRIBUTES, is_whiteout
from layer.walk import walk

Kind = Literal["A", "C", "D"]


class Change(Value):
    """`path` is absolute inside the image; A added, C changed, D deleted."""

    kind: Kind
    path: str


def changes(upper: Path, lowers: Sequence[Path]) -> Iterator[Change]:
    """The changes `upper` makes to `lowers` (overlay-format directories, bottom first), in sorted walk order.

    A directory that overlayfs copied up for what is in it counts as changed, as `docker diff` has it. Raises OSError.
    """
    below: dict[bytes, tuple[list[bytes], bool]] = {b"": ([os.fsencode(lower) for lower in reversed(lowers)], False)}
    for fd, name, path, entry in walk(upper):
        if not path:
            continue
        parent, _, base = path.rpartition(b"/")
        directories, hidden = below.get(parent, ([], False))
        there, merged = _visible(directories, base)
        if entry is not None and is_whiteout(os.stat(name, dir_fd=fd, follow_symlinks=False)):
            if there is not None:
                yield Change("D", _shown(path))
            continue
        yield Change("C" if there is not None else "A", _shown(path))
        if entry is None and merged:
            hidden = hidden or is_opaque(fd)
            below[path] = (merged, hidden)
            if hidden:
                yield from _hidden(fd, path, merged)


def is_opaque(directory: int | bytes) -> bool:
    """Whether the directory (a descriptor or a path) hides what lower layers have in its place."""
    return any(name in OPAQUE_ATTRIBUTES and os.getxattr(directory, name) == b"y" for name in os.listxattr(directory))


def _visible(directories: list[bytes], name: bytes) -> tuple[os.stat_result | None, list[bytes]]:
    """What `name` is in the merged `directories` (top first), and the directories that are merged in its place."""
    seen: os.stat_result | None = None
    merged: list[bytes] = []
    for directory in directories:
        path = directory + b"/" + name
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if is_whiteout(status) or (seen is not None and not stat.S_ISDIR(status.st_mode)):
            break
        seen = seen or status
        if not stat.S_ISDIR(status.st_mode):
            break
        merged.append(path)
        if is_opaque(path):
            break
    return seen, merged


def _hidden(fd: int, path: bytes, merged: list[bytes]) -> Iterator[Change]:
    """What lower layers have in an opaque directory and the upper has not again."""
    kept = {os.fsencode(name) for name in os.listdir(fd)}
    names = {name for directory in merged for name in os.listdir(directory)}
    for name in sorted(names - kept):
        if _visible(merged, name)[0] is not None:
            yield Change("D", _shown(path + b"/" + name))


def _shown(path: bytes) -> str:
    return "/" + os.fsdecode(path)
