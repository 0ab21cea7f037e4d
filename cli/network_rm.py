"""`lamella network rm` and `prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.completion import complete_networks
from cli.exit import Exit

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(short_help="Remove networks")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...", shell_complete=complete_networks)
@click.option("-f", "--force", is_flag=True, help="One that is not there is fine, and so is a plug-in that is away.")
@click.pass_obj
def rm(settings: Settings, names: tuple[str, ...], force: bool) -> None:
    """Remove networks that no running container is on.

    \b
    Example:
      lamella network rm app
    """
    from cli.containers import each
    from cli.wiring import open_hub, swept_networks
    from network.tables import NetworkNotFound

    swept_networks(settings)
    with open_hub(settings) as hub:

        def one(name: str) -> None:
            try:
                hub.remove(hub.networks.find(name), force=force)
            except NetworkNotFound:
                if not force:
                    raise
                return
            click.echo(name)

        raise Exit(each(names, one))


@click.command(short_help="Remove all networks that no container is on")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="label=…, label!=…, until=….")
@click.pass_obj
def prune(settings: Settings, force: bool, filters: tuple[str, ...]) -> None:
    """Remove all networks that no running container is on, and whatever killed processes left of any network.

    \b
    Example:
      lamella network prune -f --filter until=24h
    """
    if not force:
        click.echo("WARNING! This will remove all custom networks not used by at least one container.")
        if not click.confirm("Are you sure you want to continue?"):
            return
    click.echo(deleted_text(prune_networks(settings, filters)), nl=False)


def prune_networks(settings: Settings, filters: tuple[str, ...]) -> list[str]:
    """Remove what the filters accept and nobody is on; the names. Raises InvalidInput for a filter."""
    from cli.exit import report
    from cli.network_ls import has_label
    from cli.prune_filters import tests_of
    from cli.wiring import open_hub, swept_networks
    from core.errors import Conflict, LamellaError
    from store.events import note

    tests = tests_of(filters, has_label)
    swept_networks(settings)
    removed = []
    with open_hub(settings) as hub:
        for network in hub.networks.all():
            if not network.predefined and all(test(network) for test in tests):
                try:
                    hub.remove(network)
                    removed.append(network.name)
                except Conflict:  # somebody is on it
                    continue
                except LamellaError as error:  # its plug-in is away
                    report(error)
    note(settings.root, "network", "prune", "", {"reclaimed": "0"})
    return removed


def deleted_text(removed: list[str]) -> str:
    """What went, in Docker's words; empty where nothing did."""
    return "Deleted Networks:\n" + "".join(f"{name}\n" for name in removed) + "\n" if removed else ""
