"""`lamella rename`."""

from __future__ import annotations

import click

from cli.completion import complete_containers
from cli.settings import Settings


@click.command(short_help="Give a container another name")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_containers)
@click.argument("new", metavar="NEW_NAME")
@click.pass_obj
def rename(settings: Settings, name: str, new: str) -> None:
    """Give a container another name, whether it runs or not.

    \b
    Example:
      lamella rename web web-old
    """
    from cli.containers import Workshop
    from cli.exit import Exit, report
    from core.errors import InvalidInput, LamellaError
    from runtime.renaming import rename as call

    if not name.strip() or not new.strip():
        raise InvalidInput("Neither old nor new names may be empty")
    with Workshop(settings) as shop:
        shop.sweep()
        try:
            call(shop.containers, shop.containers.find(name), new)
        except LamellaError as error:
            code = report(error)
            click.echo(f"lamella: failed to rename container named {name}", err=True)
            raise Exit(code) from error
