"""Copying beside the mounted tree, straight into the directory that becomes the layer.

Through overlayfs, each file costs half as much again, and no extent can be shared with the context. It is needed only
where what is copied meets what is there. So the destination, and the directories that come to be in it, are made in the
mounted tree, where overlayfs gives them all that they must have; what goes into them is copied when it is unmounted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from builder.context import Context, Source
from builder.dockerfile.ignore import Ignore
from builder.ops.placement import Placement
from builder.ops.survey import Skip, top_names
from builder.ops.transfer import Copier
from core.value import Value

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Errand(Value):
    """One source, and the directory that it goes to: its path below the root. A file gets the name `name` there."""

    source: Source
    target: str
    name: str
    skip: Skip | None


def prepare(context: Context, sources: Sequence[Source], exclude: Ignore, place: Placement) -> list[Errand] | None:
    """What is left to do when the tree is unmounted; None where that would not be the same as copying into the tree, of
    which nothing has been done then but what copying does first. Raises what opening a destination does."""
    found: list[Errand] = []
    for source in sources:
        if source.is_directory:
            target, name = place.open_directory(), ""
            place.dated(target, os.fspath(source.path))
        else:
            target, name = place.open_for_file(source.base)
        try:
            path = os.readlink(f"/proc/self/fd/{target}")[len(os.fspath(place.root)) :].lstrip("/")
            skip = context.skip(source, exclude) if source.is_directory else None
            errand = Errand(source, path, name, skip)
            if (name and any(one.name == name for one in found)) or not _is_apart(errand, target):
                return None
            found.append(errand)
        finally:
            os.close(target)
    return found


def _is_apart(errand: Errand, target: int) -> bool:
    """Whether nothing that the errand makes meets a directory, or is one where there is something. If so, the directories
    that it needs in `target` itself are made."""
    if errand.name:
        return not _is_directory(target, errand.name)
    fd = os.open(errand.source.path, _DIRECTORY)
    try:
        names = list(top_names(fd, errand.skip))
    finally:
        os.close(fd)
    there = set(os.listdir(target))
    if any(name in there and (directory or _is_directory(target, name)) for name, directory in names):
        return False
    for name, directory in names:
        if directory:
            os.mkdir(name, 0o700, dir_fd=target)
    return True


def _is_directory(directory: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode)
    except FileNotFoundError:
        return False


def carry_out(errands: Sequence[Errand], upper: Path, copier: Copier) -> None:
    """Do them in `upper`. The directories that things are put into keep their times. Raises what copying does."""
    for errand in errands:
        path = os.path.join(upper, errand.target)
        target = os.open(path, _DIRECTORY | os.O_NOFOLLOW)
        time = os.fstat(target).st_mtime_ns
        if errand.name:
            try:
                copy_file(errand.source, target, errand.name, copier)
            finally:
                os.close(target)
        else:
            copier.contents(os.open(errand.source.path, _DIRECTORY), target, errand.skip)
        os.utime(path, ns=(time, time))


def copy_file(source: Source, target: int, name: str, copier: Copier) -> None:
    """A source that is no directory, to `name` in the directory `target`."""
    parent, last = os.path.split(source.path)
    fd = os.open(parent, _DIRECTORY)
    try:
        copier.file(fd, target, last, name)
    finally:
        os.close(fd)
