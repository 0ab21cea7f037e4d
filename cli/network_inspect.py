"""`lamella network inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.completion import complete_networks

if TYPE_CHECKING:
    from cli.settings import Settings
    from network.hub import Hub


@click.command(short_help="Show everything about networks")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...", shell_complete=complete_networks)
@click.option("-f", "--format", "template", metavar="TEMPLATE", help="json, or a Go template.")
@click.option("-v", "--verbose", is_flag=True, help="Accepted for Docker's sake.")
@click.pass_obj
def inspect(settings: Settings, names: tuple[str, ...], template: str | None, verbose: bool) -> int:
    """Show everything about networks, as JSON.

    \b
    Examples:
      lamella network inspect app
      lamella network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' app
    """
    from cli.inspect import show
    from cli.wiring import open_hub

    with open_hub(settings, shown=True) as hub:
        return show(names, [lambda name: look(hub, name)], template, "network")


def look(hub: Hub, name: str) -> dict[str, Any] | None:
    """What there is to say of the network; None where nothing is called so."""
    from network.inspect import describe
    from network.tables import NetworkNotFound

    try:
        return describe(hub, hub.networks.find(name))
    except NetworkNotFound:
        return None
