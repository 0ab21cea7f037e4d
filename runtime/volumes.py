"""Anonymous volumes: a directory of the container's own for each path that the image declares, gone with it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core.paths import clean, resolve_in
from runtime.container import Container
from runtime.mounts import Mount


def anonymous(container: Container, directory: Path, root: str) -> list[Mount]:
    """The container's anonymous volumes as mounts; one that is new gets what the image has at its place."""
    mounts = []
    for number, target in enumerate(container.volumes):
        path = directory / "volumes" / str(number)
        if not path.is_dir():
            path.parent.mkdir(0o700, exist_ok=True)
            temporary = path.with_name(f"{number}.new")
            _copy_up(resolve_in(root, clean(target)), temporary)
            os.rename(temporary, path)
        mounts.append(Mount(str(path), clean(target), options=("rprivate", "nodev"), name=str(number)))
    return mounts


def _copy_up(source: str, target: Path) -> None:
    from core.removal import remove

    remove(target)  # of a start that was killed
    target.mkdir(0o755)
    if os.path.isdir(source):
        _copy_directory(source, os.fspath(target))


def _copy_directory(source: str, target: str) -> None:
    for entry in os.scandir(source):
        _copy(entry.path, f"{target}/{entry.name}", entry.stat(follow_symlinks=False))
    _copy_attributes(source, target, os.lstat(source))


def _copy(source: str, target: str, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        os.mkdir(target, 0o700)
        _copy_directory(source, target)
        return
    if kind == stat.S_IFLNK:
        Path(target).symlink_to(os.readlink(source))
    elif kind == stat.S_IFREG:
        _copy_content(source, target)
    elif kind == stat.S_IFSOCK:
        return
    else:
        os.mknod(target, status.st_mode, status.st_rdev)
    _copy_attributes(source, target, status)


def _copy_content(source: str, target: str) -> None:
    with open(source, "rb") as reader, open(target, "xb") as writer:
        while os.sendfile(writer.fileno(), reader.fileno(), None, 1 << 26):
            pass


def _copy_attributes(source: str, target: str, status: os.stat_result) -> None:
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    for name in os.listxattr(source, follow_symlinks=False):
        if name.startswith(("user.", "security.capability", "system.posix_acl")):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
