"""`lamella port`."""

from __future__ import annotations

from typing import Any

import click

from cli.completion import complete_running
from cli.settings import Settings


@click.command(short_help="Show what ports of a container are published, and where")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_running)
@click.argument("private", required=False, metavar="[PORT[/PROTOCOL]]")
@click.pass_obj
def port(settings: Settings, name: str, private: str | None) -> None:
    """Show what ports of a container are published, and where.

    \b
    Examples:
      lamella port web
      lamella port web 80/tcp
    """
    from cli.containers import Workshop
    from cli.output import write
    from core.errors import NotFound
    from runtime.inspect import inspect

    with Workshop(settings) as shop:
        container = shop.containers.find(name)
        published: dict[str, list[dict[str, str]]] = inspect(shop.containers, container)["NetworkSettings"]["Ports"]
    if private is None:
        lines = [f"{one} -> {place}" for one, places in sorted(published.items()) for place in _places(places)]
    else:
        wanted = private if "/" in private else f"{private}/tcp"
        lines = _places(published.get(wanted))
        if not lines:
            raise NotFound(
                f"No public port '{wanted}' published for {name}", f"`lamella port {name}` shows all of them"
            )
    write("".join(f"{line}\n" for line in lines))


def _places(bindings: Any) -> list[str]:
    """Host addresses with their ports, IPv6 ones in brackets."""
    pairs = [(one["HostIp"], one["HostPort"]) for one in bindings or ()]
    return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in pairs]
