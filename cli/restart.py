"""`lamella restart`."""

from __future__ import annotations

import click

from cli.completion import complete_containers
from cli.exit import Exit
from cli.settings import Settings


@click.command(short_help="Stop containers and start them again")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_containers)
@click.option(
    "-t", "--time", "--timeout", "seconds", type=int, metavar="SECONDS",
    help="Wait so long before killing (-1: for ever).",
)  # fmt: skip
@click.option("-s", "--signal", "signal_name", default="", metavar="SIGNAL", help="Send this one first.")
@click.pass_obj
def restart(settings: Settings, names: tuple[str, ...], seconds: int | None, signal_name: str) -> None:
    """Stop containers and start them again; those that do not run are started.

    \b
    Example:
      lamella restart -t 3 web
    """
    from cli.containers import Workshop, each
    from cli.start import start_apart
    from runtime.ending import stop_to_restart

    def one(name: str) -> None:
        with Workshop(settings) as shop:
            container = shop.containers.find(name)
            with stop_to_restart(shop.containers, container, shop.state, seconds, signal_name):
                start_apart(settings, container)
            shop.containers.note(container, "restart")
        click.echo(name)

    raise Exit(each(names, one))
