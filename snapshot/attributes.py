"""Everything that a file has beside its content: mode, owner, extended attributes, times."""

from __future__ import annotations

import os
import stat

# overlayfs' own marks belong to one stack, a security label to one host.
NOT_CARRIED = ("trusted.overlay.", "user.overlay.", "security.selinux")
OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


def copy_attributes(source: str | int, target: str | int, status: os.stat_result) -> None:
    """Give `target` (not a link) the owner, extended attributes, mode and times of `source`, whose stat is `status`."""
    os.chown(target, status.st_uid, status.st_gid)
    for name in os.listxattr(source):
        if not name.startswith(NOT_CARRIED):
            os.setxattr(target, name, os.getxattr(source, name))
    os.chmod(target, stat.S_IMODE(status.st_mode))  # after chown, which takes the setuid bits
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def strip_overlay_marks(directory: str) -> None:
    """Take off what overlayfs itself noted at the root of an upper directory: it means nothing in a layer."""
    for name in os.listxattr(directory):
        if name.startswith(NOT_CARRIED[:2]) and name not in OPAQUE:
            os.removexattr(directory, name)


def is_whiteout(status: os.stat_result) -> bool:
    """Whether an entry of a layer directory hides a name of the layers below."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: str | int) -> bool:
    """Whether a layer's directory hides all that the layers below have in it."""
    names = os.listxattr(directory)
    return any(name in names and os.getxattr(directory, name) == b"y" for name in OPAQUE)


def make_opaque(directory: str | int) -> None:
    """Hide all that the layers below have in the directory. In a user namespace the mark is a user's."""
    try:
        os.setxattr(directory, OPAQUE[0], b"y")
    except PermissionError:
        os.setxattr(directory, OPAQUE[1], b"y")
