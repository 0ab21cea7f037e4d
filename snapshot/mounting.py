"""Mounting overlayfs, with names short enough that hundreds of layers fit into the one page the kernel reads."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import LamellaError, Unavailable

# What these three would write into upper directories only the stack that wrote it could read: no layer may contain it.
_PLAIN = "redirect_dir=off,metacopy=off,index=off"


def mount_overlay(layers: Path, lower: Sequence[str], home: Path, *, volatile: bool, userxattr: bool) -> None:
    """Mount `lower` (names below `layers`, or paths relative to it; bottom first) with `home`/upper on `home`/rootfs.

    Raises Unavailable where the kernel refuses.
    """
    from core import syscalls

    place = os.path.relpath(home, layers)
    fixed = f"upperdir={place}/upper,workdir={place}/work,{'userxattr,index=off' if userxattr else _PLAIN}"
    options = f"lowerdir={':'.join(reversed(lower))},{fixed}"

    def work() -> None:
        if volatile:
            try:
                syscalls.mount("overlay", f"{place}/rootfs", "overlay", 0, f"{options},volatile")
                return
            except OSError as error:
                if error.errno != errno.EINVAL:  # before Linux 5.10 there is no such option
                    raise
        syscalls.mount("overlay", f"{place}/rootfs", "overlay", 0, options)

    try:
        in_directory(layers, work)
    except OSError as error:
        raise Unavailable(
            f"cannot mount an overlay on {home}/rootfs: {error.strerror}", "`dmesg` may tell what the kernel dislikes"
        ) from error


def in_directory(path: Path, work: Callable[[], None]) -> None:
    """Run `work` with `path` as the current directory of its thread alone. Raises what `work` raises."""
    import threading

    from core import syscalls

    failed: list[BaseException] = []

    def run() -> None:
        try:
            syscalls.unshare(syscalls.CLONE_FS)
            os.chdir(path)
            work()
        except (OSError, LamellaError) as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def unmount(path: Path) -> None:
    """Unmount what is mounted on `path`, and below it; what still uses it keeps it alive, unseen. Harmless to repeat."""
    from core import syscalls

    try:
        syscalls.unmount(path, 0)
    except OSError as error:
        if error.errno == errno.EBUSY:
            syscalls.unmount(path, syscalls.MNT_DETACH)
        elif error.errno != errno.EINVAL:
            raise
