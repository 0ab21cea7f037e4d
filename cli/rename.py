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
    from runtime.renaming import rename as call

    with Workshop(settings) as shop:
        shop.sweep()
        call(shop.containers, shop.containers.find(name), new)
