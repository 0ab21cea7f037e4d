"""How overlayfs marks deletions in a layer's directory, and the OCI spec in a layer's tar (image-spec layer.md).

Directory: a character device 0:0 hides a name, the attribute `*.overlay.opaque` hides all of a directory below.
Tar: an empty file `.wh.NAME`, or `.wh..wh..opq` in the directory.
"""

from __future__ import annotations

import os
import stat

WHITEOUT = b".wh."
META = b".wh..wh."
OPAQUE = b".wh..wh..opq"
OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque")


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def carried(attribute: str) -> bool:
    """Whether a layer carries this extended attribute: capabilities, users' own and ACLs."""
    if attribute.startswith("user."):
        return not attribute.startswith("user.overlay.")
    return attribute in ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


def make_opaque(fd: int) -> None:
    """Hide what lower layers have in the directory open as `fd`. In a user namespace the attribute is `user.`'s."""
    try:
        os.setxattr(fd, OPAQUE_ATTRIBUTES[0], b"y")
    except PermissionError:
        os.setxattr(fd, OPAQUE_ATTRIBUTES[1], b"y")
