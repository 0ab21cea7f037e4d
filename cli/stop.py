"""`lamella stop`."""

from __future__ import annotations

import click

from cli.completion import complete_running
from cli.exit import Exit
from cli.settings import Settings


@click.command(short_help="Stop running containers")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_running)
@click.option(
    "-t",
    "--time",
    "--timeout",
    "seconds",
    type=int,
    metavar="SECONDS",
    help="Wait so long before killing (-1: for ever).",
)
@click.option("-s", "--signal", "signal_name", default="", metavar="SIGNAL", help="Send this one first.")
@click.pass_obj
def stop(settings: Settings, names: tuple[str, ...], seconds: int | None, signal_name: str) -> None:
    """Stop running containers: the stop signal first, SIGKILL when the time is over.

    \b
    Example:
      lamella stop -t 3 web
    """
    from cli.containers import Workshop, each_container
    from runtime.ending import stop as end

    with Workshop(settings) as shop:
        raise Exit(
            each_container(shop, names, lambda found: end(shop.containers, found, shop.state, seconds, signal_name))
        )
