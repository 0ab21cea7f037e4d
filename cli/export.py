"""`lamella export`, also `lamella container export`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.completion import complete_containers
from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(short_help="Write a container's files as a tar archive")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_containers)
@click.option("-o", "--output", metavar="FILE", type=click.Path(), help="Write to a file instead of stdout.")
@click.pass_obj
def export(settings: Settings, name: str, output: str | None) -> None:
    """Write everything in a container's root as one flat tar archive, without its volumes and settings.

    \b
    Examples:
      lamella export -o web.tar web
      lamella export job | tar t
    """
    from cli.containers import Workshop
    from cli.sink import sink
    from core.namespaces import enter_private_mounts
    from runtime.export import export as write_tree

    if output is None and sys.stdout.isatty():
        raise InvalidInput("cowardly refusing to save to a terminal", "use the -o flag or redirect")
    enter_private_mounts()
    with Workshop(settings) as shop:
        shop.sweep()
        container = shop.containers.find(name)
        with sink(output, sync=settings.sync) as write:
            write_tree(shop.containers, container, write)
