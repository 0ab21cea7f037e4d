"""What a container asks of the network, beyond the name of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from core.rootless import outer_uid
from core.value import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.container import Container


class Networking(Value):
    """`joins`: the networks it hangs on, eth0 first; each a dict of `network` (name or ID), `aliases`, `ip`, `ip6`, `mac`,
    `priority`, `options` and, after `network connect --link`, `links`. `links` are `container:alias`; `exposed` as `--expose` words them."""

    joins: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    publish_all: bool = False


def join(
    network: str,
    aliases: tuple[str, ...] = (),
    ip: str = "",
    ip6: str = "",
    mac: str = "",
    priority: int = 0,
    options: dict[str, str] | None = None,
    links: tuple[str, ...] = (),
) -> dict[str, Any]:
    """One entry of `Networking.joins`."""
    return {
        "network": network, "aliases": list(aliases), "ip": ip, "ip6": ip6, "mac": mac, "priority": priority,
        "options": options or {}, **({"links": list(links)} if links else {}),
    }  # fmt: skip


SHARING = "container:"  # what a mode begins with that shares another container's sandbox


def shared_with(mode: str) -> str:
    """The container whose sandbox is shared; empty in any other mode."""
    return mode.removeprefix(SHARING) if mode.startswith(SHARING) else ""


@contextlib.contextmanager
def prepared(root: Path, state: Path, container: Container) -> Iterator[None]:
    """Around a start, in the host's own namespaces: who answers the container's questions for names is there meanwhile."""
    if container.net is None or not container.net.joins:
        yield
        return
    if outer_uid():
        from network.uplink import raise_uplink

        raise_uplink(state)
    from runtime.stewarding import steward

    named = any(one["network"] != "bridge" for one in container.net.joins)
    with steward(root, state, wait=named), shared(root, state, container):
        yield


def shared(root: Path, state: Path, container: Container, *more: str) -> contextlib.AbstractContextManager[None]:
    """Around a change of what the container is on, also in the host's own namespaces: networks that other hosts have too are
    seen to, those it is on and `more`. Costs one look where this host shares none."""
    from network.overlay import FILE

    if not (root / FILE).exists():
        return contextlib.nullcontext()
    from runtime.joins import joins_of
    from runtime.overlaying import ready

    joins = joins_of(container, root / "containers" / container.id)
    return ready(root, state, [*(one["network"] for one in joins), *more])
