"""`lamella volume rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.completion import complete_volumes
from cli.exit import Exit

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(short_help="Remove volumes")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...", shell_complete=complete_volumes)
@click.option("-f", "--force", is_flag=True, help="Do not mind if there is none.")
@click.pass_obj
def rm(settings: Settings, names: tuple[str, ...], force: bool) -> None:
    """Remove volumes with all that is in them. A volume stays while any container has it, running or not.

    \b
    Examples:
      lamella volume rm data
      lamella volume rm $(lamella volume ls -qf dangling=true)
    """
    from cli.containers import Workshop, each
    from runtime.volume_verbs import remove

    with Workshop(settings, making_room=True) as shop:
        shop.sweep()

        def one(name: str) -> None:
            remove(shop.store, name, force=force)
            click.echo(name)

        raise Exit(each(names, one))
