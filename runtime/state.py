"""Run-time state: what may be lost with a reboot, under a directory of its own for each store."""

from __future__ import annotations

import contextlib
import os
from _blake2 import blake2b  # what hashlib offers as well, without loading OpenSSL first
from pathlib import Path

from core.rootless import outer_uid

ROOT = "root"  # a link in each: to the store's root, by which it is known when that is gone


def state_directory(root: Path) -> Path:
    """`/run/lamella/<hash of the root>`, created when missing; two stores share nothing. Harmless to repeat.

    Without root it is below `/run/user/<uid>`, and inside the store where the machine has no such directory.
    """
    name = blake2b(os.fsencode(os.path.abspath(root)), digest_size=6).hexdigest()
    path = _base(root) / name
    try:
        path.mkdir(0o700)
    except FileExistsError:
        return path
    except FileNotFoundError:
        path.mkdir(0o700, parents=True, exist_ok=True)
    note_root(path, root)
    return path


def note_root(state: Path, root: Path) -> None:
    """Write down whose `state` it is: for `runtime.forgotten`. Harmless to repeat."""
    with contextlib.suppress(FileExistsError):
        (state / ROOT).symlink_to(os.path.abspath(root))


def cgroups_of(state: Path) -> set[str]:
    """The names of the cgroups that containers of the store have, or have left, below `lamella` in this machine's trees."""
    found: set[str] = set()
    for tree in ("pids/", "memory/", "systemd/", ""):  # a cgroup is in one of them, on any host
        with contextlib.suppress(OSError):
            found |= {name for name in os.listdir(f"/sys/fs/cgroup/{tree}lamella") if name.startswith(f"{state.name}-")}
    return found


def _base(root: Path) -> Path:
    user = os.geteuid() or outer_uid()
    if user == 0:
        return Path("/run/lamella")
    personal = Path(f"/run/user/{user}")
    return (personal if personal.is_dir() else root / "run") / "lamella"
