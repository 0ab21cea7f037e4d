"""A checked out working tree on its way to where it is wanted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from core.paths import resolve_in

GIT = ".git"
# What git notes beside a checkout and nobody needs in an image; the reflogs are off.
_NOTES = ("FETCH_HEAD", "ORIG_HEAD", "gitk.cache")


class NoDirectory(Exception):
    """There is no such directory in the tree."""


def deliver(work: Path, target: Path, *, subdir: str = "", keep_git: bool = False) -> None:
    """Move what is in the working tree `work`, or in a directory of it, into the directory `target`. Without `keep_git`
    nothing of git's own is left in it, submodules' included. Raises NoDirectory."""
    if keep_git:
        for name in _NOTES:
            (work / GIT / name).unlink(missing_ok=True)
    else:  # before the path is looked at: it could lead into what is no part of the commit
        _drop_git(work)
    wanted = Path(resolve_in(work, subdir))
    if not wanted.is_dir():
        raise NoDirectory(subdir)
    for name in os.listdir(wanted):
        shutil.move(wanted / name, target / name)


def _drop_git(work: Path) -> None:
    """Git refuses commits with a name like this in them, so whatever is called so is its own."""
    for directory, directories, files in os.walk(work):
        if GIT in directories:
            shutil.rmtree(Path(directory, GIT))
            directories.remove(GIT)
        if GIT in files:
            os.unlink(Path(directory, GIT))


def set_times(work: Path, seconds: int) -> None:
    """Give everything in `work` but git's own that time (seconds since 1970)."""
    for directory, directories, files in os.walk(work, topdown=True):
        if GIT in directories:
            directories.remove(GIT)
        for name in (*directories, *files):
            os.utime(Path(directory, name), (seconds, seconds), follow_symlinks=False)
