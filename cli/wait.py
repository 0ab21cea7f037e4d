"""`lamella wait`."""

from __future__ import annotations

import click

from cli.completion import complete_containers
from cli.exit import Exit
from cli.settings import Settings


@click.command(short_help="Wait for containers to end and print their exit codes")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_containers)
@click.pass_obj
def wait(settings: Settings, names: tuple[str, ...]) -> None:
    """Wait for containers to end and print their exit codes.

    \b
    Example:
      lamella wait job
    """
    from cli.containers import Workshop, each
    from runtime.ending import wait_for

    with Workshop(settings) as shop:

        def one(name: str) -> None:
            click.echo(wait_for(shop.containers, shop.containers.find(name)))

        raise Exit(each(names, one))
