"""What `exec` does; nothing here needs click (see `cli.quick`)."""

from __future__ import annotations

import os

from cli.settings import Settings
from core.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def execute(settings: Settings, flags: dict[str, Any]) -> int:
    """Run a command in a running container as the flags say; its exit code."""
    from cli.container_flags import environment
    from cli.containers import Workshop
    from runtime import executing

    tty, interactive = flags["tty"], flags["interactive"]
    if tty and interactive and not os.isatty(0):
        raise InvalidInput("the input device is not a TTY", "leave out -t, or run it in a terminal")
    wanted = executing.Command(
        flags["command"], environment(flags["env_file"], flags["env"], settings.environ), flags["workdir"], flags["user"],
        tty, interactive, flags["detach"], flags["privileged"], _keys(settings, flags) if tty else b"",
    )  # fmt: skip
    with Workshop(settings) as shop:
        return executing.execute(shop.containers, shop.containers.find(flags["name"]), shop.state, wanted)


def _keys(settings: Settings, flags: dict[str, Any]) -> bytes:
    from cli.detach_keys import detach_keys

    return detach_keys(settings, flags["detach_keys"])
