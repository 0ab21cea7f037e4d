"""`lamella rm`."""

from __future__ import annotations

import click

from cli.completion import complete_containers
from cli.exit import Exit
from cli.settings import Settings
from cli.spelling import DockerCommand


@click.command(cls=DockerCommand, short_help="Remove containers")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_containers)
@click.option("-f", "--force", is_flag=True, help="Kill it first if it runs; do not mind if there is none.")
@click.option("-v", "--volumes", is_flag=True, help="Also the anonymous volumes that were made for it.")
@click.pass_obj
def rm(settings: Settings, names: tuple[str, ...], force: bool, volumes: bool) -> None:
    """Remove containers with all they have written, but for what is in volumes.

    \b
    Examples:
      lamella rm job
      lamella rm -f $(lamella ps -aq)
      lamella rm -v scratch
    """
    from cli.containers import Workshop, each
    from runtime.directories import NoSuchContainer
    from runtime.ending import remove

    with Workshop(settings, making_room=True) as shop:
        shop.sweep()

        def one(name: str) -> None:
            try:
                remove(shop.containers, shop.containers.find(name), shop.state, force=force, volumes=volumes)
            except NoSuchContainer as error:
                if not force:
                    raise
                click.echo(f"lamella: {error.message}", err=True)
                return
            click.echo(name)

        raise Exit(each(names, one))
