"""A file's bytes and extended attributes, from one descriptor to another, the kernel doing the work where it can."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from layer.cloned import LARGE

SMALL = 128 << 10
_PIECE = 32 << 20
_FICLONE = 0x40049409  # ioctl_ficlone(2)
_BLOCK = 512
_XATTRS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
_NO_REFLINK = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.ETXTBSY)


def copy_data(source: int, out: int, status: os.stat_result) -> bool:
    """Append the bytes of `source`, a regular file of that `status`, to the empty file `out`. Holes stay holes. Whether
    `out` is a clone: what `source` was at one instant."""
    size = status.st_size
    if size <= SMALL:
        if size:
            data = os.read(source, size)
            if os.write(out, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return False
    if size >= LARGE and _clone(source, out):
        return True
    if status.st_blocks * _BLOCK < size:
        _copy_islands(source, out, size)
    else:
        _copy_range(source, out, 0, size)
    return False


def _clone(source: int, out: int) -> bool:
    from fcntl import ioctl

    try:
        ioctl(out, _FICLONE, source)
    except OSError:  # another file system, or one that cannot; what is really wrong will show again
        return False
    return True


def _copy_islands(source: int, out: int, size: int) -> None:
    """Only what a sparse file really has."""
    os.ftruncate(out, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(source, at, os.SEEK_SET)
        os.lseek(out, at, os.SEEK_SET)
        _copy_range(source, out, at, end)
        at = end


def _copy_range(source: int, out: int, at: int, end: int) -> None:
    """From the descriptors' positions on, and to the disk at once: what is waited for at the end is under way then."""
    from core.syscalls import start_writing

    copied = True
    while copied and at < end:
        try:
            done = os.copy_file_range(source, out, min(_PIECE, end - at))
        except OSError as error:
            if error.errno not in _NO_REFLINK:
                raise
            break
        copied = done > 0
        start_writing(out, at, done)
        at += done
    while at < end:
        done = os.sendfile(out, source, None, min(_PIECE, end - at))
        if not done:
            return
        at += done


def copy_xattrs(source: int, out: int, names: Sequence[str]) -> None:
    """The attributes that belong in an image: users', ACLs and capabilities, no labels of this host's."""
    for name in names:
        if (name.startswith("user.") and not name.startswith("user.overlay.")) or name in _XATTRS:
            os.setxattr(out, name, os.getxattr(source, name))
