"""Paths that cannot leave a root, whatever links the tree contains."""

from __future__ import annotations

import errno
import os
import stat

from core.errors import InvalidInput

MAX_LINKS = 40


def clean(path: str) -> str:
    """`path` as an absolute path inside a root: no `.`, no `..` above the top, one slash between names."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def resolve_in(root: str | os.PathLike[str], path: str, *, follow_last: bool = True) -> str:
    """The path on this host that `path` names inside `root`, as if `root` were `/`: links are followed inside it only.

    What does not exist is kept as it is, so a path to be created can be resolved too. Nobody else may be changing the
    tree meanwhile. Raises InvalidInput for too many links.
    """
    top = os.fspath(root).rstrip("/")
    todo = [part for part in path.split("/") if part and part != "."]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            del done[-1:]
            continue
        here = "/".join([top, *done, part])
        target = _link_target(here) if todo or follow_last else None
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > MAX_LINKS:
            raise InvalidInput(f"too many levels of symbolic links: {path}")
        if target.startswith("/"):
            done.clear()
        todo[:0] = [p for p in target.split("/") if p and p != "."]
    return "/".join([top, *done]) or "/"


def open_regular(root: str | os.PathLike[str], path: str) -> int:
    """A descriptor for reading the regular file that `path` names inside `root`, also while somebody changes the tree.

    Nothing else is ever opened: opening some devices has effects. Raises OSError, and EINVAL for what is no regular file.
    """
    from core import syscalls

    inside = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        seen = syscalls.openat2(top, path, os.O_PATH, resolve=inside)
        try:
            if not stat.S_ISREG(os.fstat(seen).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
        finally:
            os.close(seen)
        return syscalls.openat2(top, path, os.O_RDONLY | os.O_NONBLOCK, resolve=inside)
    finally:
        os.close(top)


def _link_target(path: str) -> str | None:
    try:
        return os.readlink(path) if stat.S_ISLNK(os.lstat(path).st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
