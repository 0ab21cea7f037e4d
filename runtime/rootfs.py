"""What is done to a mounted root before a container starts on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def without_devices(root: str) -> Iterator[None]:
    """`root` mounted `nodev` for the block: nodes in it can be made and read about, but not opened.

    A root that is a plain directory is bound onto itself for the time. Needs private mounts.
    """
    from core import syscalls

    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_NODEV
    own = not os.path.ismount(root)
    if own:
        syscalls.mount(root, root, flags=syscalls.MS_BIND | syscalls.MS_REC)
    try:
        syscalls.mount("none", root, flags=flags)
        yield
    finally:
        if own:
            syscalls.unmount(root)
