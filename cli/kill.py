"""`lamella kill`."""

from __future__ import annotations

import click

from cli.completion import complete_running
from cli.exit import Exit
from cli.settings import Settings


@click.command(short_help="Send a signal to running containers")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_running)
@click.option("-s", "--signal", "text", default="KILL", metavar="SIGNAL", help="Name or number.  [default: KILL]")
@click.pass_obj
def kill(settings: Settings, names: tuple[str, ...], text: str) -> None:
    """Send a signal to running containers.

    \b
    Example:
      lamella kill -s HUP web
    """
    from cli.containers import Workshop, each
    from core.errors import Conflict, NotFound
    from runtime.ending import kill as send
    from runtime.signals import number_of

    number = number_of(text)
    with Workshop(settings) as shop:

        def one(name: str) -> None:
            try:
                send(shop.containers, shop.containers.find(name), shop.state, number)
            except (NotFound, Conflict) as error:
                kind = Conflict if isinstance(error, Conflict) else NotFound
                raise kind(f"Cannot kill container: {name}: {error.message}", error.hint) from error
            click.echo(name)

        raise Exit(each(names, one))
