"""Which way of making snapshots works here: found out by mounting, not by asking for versions, and remembered."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from core.files import write_file
from core.removal import remove
from snapshot.overlay import Overlay
from store.temporary import Temporaries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from snapshot.copying import Copying

_ANSWERS = ("overlay", "overlay-userxattr", "copying")


def choose(root: Path) -> Overlay | Copying:
    """The fastest snapshotter that really works below the existing store `root`.

    The answer is kept in `<root>/snapshotter` for as long as kernel, file system and user stay the same.
    """
    answer = _remembered(root) or _probe_and_remember(root)
    if answer == "copying":
        from snapshot.copying import Copying

        return Copying(root)
    return Overlay(root, userxattr=answer == "overlay-userxattr")


def _circumstances(root: Path) -> str:
    uids = Path("/proc/self/uid_map").read_text().split()
    return f"{os.uname().release} {os.stat(root).st_dev} {os.geteuid()} {'.'.join(uids)}"


def _remembered(root: Path) -> str | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        circumstances, answer = (root / "snapshotter").read_text().splitlines()
        if circumstances == _circumstances(root) and answer in _ANSWERS:
            return answer
    return None


def _probe_and_remember(root: Path) -> str:
    answer = next((kind for kind in _ANSWERS[:2] if _works(root, userxattr=kind != "overlay")), "copying")
    write_file(root / "snapshotter", f"{_circumstances(root)}\n{answer}\n".encode(), sync=False)
    return answer


def _works(root: Path, *, userxattr: bool) -> bool:
    """Whether a child, in a mount namespace of its own, can mount an overlay that hides and shows what it should."""
    fd, home = Temporaries(root).directory()
    try:
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                code = 0 if _try(home, userxattr) else 1
            os._exit(code)
        return os.waitpid(child, 0)[1] == 0
    finally:
        remove(home)
        os.close(fd)


def _try(home: Path, userxattr: bool) -> bool:
    from core.namespaces import enter_private_mounts
    from snapshot.attributes import is_opaque, is_whiteout
    from snapshot.mounting import mount_overlay

    for name in ("lower/dir", "snap/upper", "snap/work", "snap/rootfs"):
        (home / name).mkdir(parents=True)
    for name in ("gone", "dir/old"):
        (home / "lower" / name).write_bytes(b"x")
    enter_private_mounts()
    mount_overlay(home, ["lower"], home / "snap", volatile=True, userxattr=userxattr)
    tree, upper = home / "snap/rootfs", home / "snap/upper"
    (tree / "gone").unlink()
    remove(tree / "dir")
    (tree / "dir").mkdir()
    return (
        is_whiteout((upper / "gone").lstat()) and is_opaque(os.fspath(upper / "dir")) and not os.listdir(tree / "dir")
    )
