"""`lamella network connect` and `disconnect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.completion import complete_containers, complete_networks

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(short_help="Connect a container to a network")
@click.argument("network", shell_complete=complete_networks)
@click.argument("container", shell_complete=complete_containers)
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name on the network.")
@click.option("--ip", default="", metavar="ADDRESS", help="IPv4 address, such as 172.30.100.104.")
@click.option("--ip6", default="", metavar="ADDRESS", help="IPv6 address, such as 2001:db8::33.")
@click.option("--gw-priority", "priority", type=int, default=0, metavar="N", help="The highest has the way out.")
@click.option("--driver-opt", "options", multiple=True, metavar="NAME=VALUE", help="An option of the driver.")
@click.option(
    "--link", "links", multiple=True, metavar="CONTAINER[:ALIAS]", help="What it alone calls another one there."
)
@click.option("--link-local-ip", multiple=True, hidden=True)
@click.pass_obj
def connect(
    settings: Settings, network: str, container: str, aliases: tuple[str, ...], ip: str, ip6: str, priority: int,
    options: tuple[str, ...], links: tuple[str, ...], link_local_ip: tuple[str, ...],
) -> None:  # fmt: skip
    """Connect a container to a network: at once where it runs, and whenever it starts.

    \b
    Example:
      lamella network connect --alias db app postgres
    """
    from cli.containers import Workshop
    from cli.network_create import pair
    from cli.wiring import open_hub
    from core.errors import Unsupported
    from runtime.links import parse_link
    from runtime.networking import join
    from runtime.rejoining import connect

    if link_local_ip:
        raise Unsupported("there are no link-local addresses besides --ip and --ip6", "leave --link-local-ip out")
    with Workshop(settings) as shop, open_hub(settings) as hub:
        shop.sweep()
        found = shop.containers.find(container)
        for text in links:
            parse_link(text)
        wanted = join(hub.networks.find(network).name, aliases, ip, ip6, "", priority, dict(map(pair, options)), links)
        connect(hub, shop.containers, found, wanted)


@click.command(short_help="Take a container off a network")
@click.argument("network", shell_complete=complete_networks)
@click.argument("container", shell_complete=complete_containers)
@click.option("-f", "--force", is_flag=True, help="Also where the container is not there any more.")
@click.pass_obj
def disconnect(settings: Settings, network: str, container: str, force: bool) -> None:
    """Take a container off a network: at once where it runs, and when it starts again.

    \b
    Example:
      lamella network disconnect app postgres
    """
    from cli.containers import Workshop
    from cli.wiring import open_hub
    from core.errors import NotFound
    from runtime.directories import NoSuchContainer
    from runtime.rejoining import disconnect

    with Workshop(settings) as shop, open_hub(settings) as hub:
        shop.sweep()
        there = hub.networks.find(network)
        try:
            found = shop.containers.find(container)
        except NoSuchContainer:
            if not force:
                raise
            known = [one for one in hub.networks.endpoints(there) if container in (*one.names, one.container)]
            for endpoint in known:
                hub.detach(endpoint)
            if not known:
                raise NotFound(
                    f"endpoint {container} not found", "`lamella network inspect` shows who is there"
                ) from None
            return
        disconnect(hub, shop.containers, found, there)
