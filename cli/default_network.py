"""Which network a container is on where the user names none: the default bridge, wherever this machine can have one."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from cli.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "LAMELLA_NETWORK"
# What only a network of its own can give: without a bridge it is an error, and no other network will do.
_BRIDGE_FLAGS = ("publish", "publish_all", "link", "ip", "ip6", "mac_address")


def asked_networks(settings: Settings, flags: Mapping[str, Any]) -> tuple[str, ...]:
    """The networks that the flags name, or else the default one; says on stderr where that cannot be the bridge."""
    if flags["network"]:
        return tuple(flags["network"])
    needed = any(flags[name] for name in _BRIDGE_FLAGS)
    chosen = settings.environ.get(VARIABLE, "")
    if chosen and not (needed and chosen in ("host", "none")):
        return (chosen,)
    return ("bridge",) if needed else (_possible(settings),)


def _possible(settings: Settings) -> str:
    from network.possible import obstacle
    from runtime.state import state_directory

    why, remedy = obstacle(state_directory(settings.root))
    if not why:
        return "bridge"
    sys.stderr.write(
        f"WARNING: the container has the host's network, since {why}: {remedy}, or choose with --network or {VARIABLE}\n"
    )
    return "host"
