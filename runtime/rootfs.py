"""What is done to a mounted root before a container starts on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def without_devices(root: str) -> Iterator[None]:
    """`root` mounted `nodev` for the block: see `forbid_devices`. A plain directory is bound onto itself for the time."""
    from core import syscalls

    own = forbid_devices(root)
    try:
        yield
    finally:
        if own:
            syscalls.unmount(root)


def forbid_devices(root: str) -> bool:
    """Mount `root` `nodev`: nodes in it can be made and read about, but not opened. Needs private mounts.

    True where it was no mount point and is bound onto itself now.
    """
    from core import syscalls

    own = not os.path.ismount(root)
    if own:
        syscalls.mount(root, root, flags=syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.mount("none", root, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_NODEV)
    return own
