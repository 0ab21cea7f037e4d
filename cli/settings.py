"""Environment, flags and files, read once and frozen. Nothing below `cli` reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from core.rootless import outer_uid
from core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Settings(Value):
    """What every command gets as `ctx.obj`.

    `root`: where images and containers are kept. `sync`: wait for the disk. `home`: the user's home, for registry
    credentials and certificates. `environ`: the caller's environment, as it was at start.
    """

    root: Path
    sync: bool
    debug: bool
    home: Path
    environ: Mapping[str, str]

    @classmethod
    def read(cls, *, root: str | None, sync: bool, debug: bool) -> Self:
        """From the flags given and the environment."""
        environ = dict(os.environ)
        home = Path(environ.get("HOME") or "/root")
        return cls(Path(root).absolute() if root else default_root(environ, home), sync, debug, home, environ)


def default_root(environ: Mapping[str, str], home: Path) -> Path:
    """`/var/lib/lamella` for root, `$XDG_DATA_HOME/lamella` for everybody else."""
    if (os.geteuid() or outer_uid()) == 0:
        return Path("/var/lib/lamella")
    return Path(environ.get("XDG_DATA_HOME") or home / ".local/share") / "lamella"
