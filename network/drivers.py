"""Which drivers there are. One that is not in the table is a plug-in's, by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.errors import Unsupported
from core.rootless import outer_uid
from network.protocol import NetworkDriver
from network.tables import Networks


def _bridge(networks: Networks, state: Path) -> NetworkDriver:
    from network.bridge import Bridge

    return Bridge(networks, state)


def _macvlan(networks: Networks, state: Path) -> NetworkDriver:
    from network.macvlan import Macvlan

    return Macvlan(networks, state)


def _host(networks: Networks, state: Path) -> NetworkDriver:
    from network.plain import Plain

    return Plain("host")


def _null(networks: Networks, state: Path) -> NetworkDriver:
    from network.plain import Plain

    return Plain("null")


def _overlay(networks: Networks, state: Path) -> NetworkDriver:
    from network.overlay.driver import Overlay

    return Overlay(networks, state)


def _hidden(name: str, networks: Networks, state: Path, proc: str) -> NetworkDriver:
    """An ordinary user's."""
    from network.hidden import Hidden

    if name not in DRIVERS:
        from network.remote import known

        known(name)
    if name != Hidden.name:
        raise Unsupported(f"networks of the driver {name} need root", "use the driver bridge")
    return Hidden(networks, state, proc)


_FOR_EVERYBODY = ("host", "null")
DRIVERS: dict[str, Callable[[Networks, Path], NetworkDriver]] = {
    "bridge": _bridge,
    "host": _host,
    "macvlan": _macvlan,
    "null": _null,
    "overlay": _overlay,
}


def make_driver(name: str, networks: Networks, state: Path, proc: str = "/proc") -> NetworkDriver:
    """The driver of that name; whether a plug-in is there is seen when it is asked for something. `proc` is where the host's
    processes are to be seen. Raises Unsupported for what only root can have, NotFound for what nobody has."""
    if outer_uid() and name not in _FOR_EVERYBODY:
        return _hidden(name, networks, state, proc)
    maker = DRIVERS.get(name)
    if maker is not None:
        return maker(networks, state)
    from network.remote import Remote

    return Remote(name, networks, state)
