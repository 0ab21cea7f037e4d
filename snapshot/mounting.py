"""Mounting overlayfs: with names so short that hundreds of layers fit into the one page that mount(2) reads, and one by one
where there are more (Linux 6.8)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import LamellaError, Unavailable, Unsupported

MAX_LAYERS = 500  # overlayfs' own limit (fs/overlayfs/params.h OVL_MAX_STACK)


class TooManyLayers(Unsupported):
    """More than the kernel takes."""

    def __init__(self, count: int, limit: str = f" ({MAX_LAYERS})") -> None:
        super().__init__(
            f"{count} layers are more than overlayfs can stack{limit}",
            "use fewer instructions, or squash the base image",
        )


# What these three would write into upper directories only the stack that wrote it could read: no layer may contain it, and
# none is believed (`nofollow`). (Documentation/filesystems/overlayfs.rst, "redirect_dir", "Metadata only copy up")
_PLAIN: tuple[tuple[str, str | None], ...] = (("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"))
_PAGE = 4096  # what mount(2) reads, with the NUL at the end
Options = Sequence[tuple[str, str | None]]


def mount_overlay(layers: Path, lower: Sequence[str], home: Path, *, volatile: bool, userxattr: bool) -> None:
    """Mount `lower` (names below `layers`, or paths relative to it; bottom first) with `home`/upper on `home`/rootfs.

    Raises Unavailable where the kernel refuses.
    """
    top = f"{layers}/"
    if _is_short(top, lower):
        place, lower = str(home), [top + name for name in lower]
    else:
        place = os.path.relpath(home, layers)
    own: Options = (("upperdir", f"{place}/upper"), ("workdir", f"{place}/work"), *_common(userxattr))

    def work() -> None:
        if volatile:
            try:
                _mount(lower, (*own, ("volatile", None)), f"{place}/rootfs", 0)
                return
            except OSError as error:
                if error.errno != errno.EINVAL:  # before Linux 5.10 there is no such option
                    raise
        _mount(lower, own, f"{place}/rootfs", 0)

    _in_layers(layers if place != str(home) else None, home / "rootfs", work)


def _is_short(top: str, lower: Sequence[str]) -> bool:
    """Whether whole names will do: a directory of one's own to name them from takes a thread of one's own."""
    return not set(",:\\") & set(top) and sum(len(top) + len(name) + 1 for name in lower) < _PAGE // 2 - 3 * len(top)


def mount_stack(lower: Sequence[str], home: str, target: str, flags: int) -> None:
    """Mount the directories `lower` (bottom first) with `home`/upper on `target`. Raises OSError, TooManyLayers."""
    _mount(lower, (("upperdir", f"{home}/upper"), ("workdir", f"{home}/work"), *_PLAIN), target, flags)


def mount_view(layers: Path, lower: Sequence[str], target: Path, *, userxattr: bool) -> None:
    """Mount `lower` (bottom first) read-only on the empty directory `target`; setuid programs and devices do not work in
    it. Raises Unavailable where the kernel refuses."""
    from core import syscalls

    flags = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
    where = os.path.relpath(os.path.realpath(target), os.path.realpath(layers))
    if not lower:
        syscalls.mount("none", target, "tmpfs", flags, "mode=0755")
        return
    several = lower if len(lower) > 1 else [where, *lower]  # of two at least is a stack
    _in_layers(layers, target, lambda: _mount(several, _common(userxattr), where, flags))


def _common(userxattr: bool) -> Options:
    return (("userxattr", None), *_PLAIN) if userxattr else _PLAIN


def _in_layers(layers: Path | None, target: Path, work: Callable[[], None]) -> None:
    try:
        in_directory(layers, work) if layers else work()
    except OSError as error:
        raise Unavailable(
            f"cannot mount an overlay on {target}: {error.strerror}", "`dmesg` may tell what the kernel dislikes"
        ) from error


def _mount(lower: Sequence[str], own: Options, target: str, flags: int) -> None:
    from core import syscalls

    words = [f"lowerdir={':'.join(reversed(lower))}", *(name if v is None else f"{name}={v}" for name, v in own)]
    text = ",".join(words)
    if len(os.fsencode(text)) < _PAGE:
        syscalls.mount("overlay", target, "overlay", flags, text)
        return
    try:
        # The flags of mount(2) up to MS_NODEV are the attributes of fsmount(2).
        syscalls.mount_new("overlay", [*(("lowerdir+", name) for name in reversed(lower)), *own], target, flags)
    except OSError as error:
        if error.filename == "lowerdir+":
            raise TooManyLayers(len(lower), " on this kernel") from error
        raise


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
        elif error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
