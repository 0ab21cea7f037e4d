"""`lamella volume inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.completion import complete_volumes
from cli.exit import Exit

if TYPE_CHECKING:
    from cli.inspect import Look
    from cli.settings import Settings
    from store.store import Store


@click.command(short_help="Show everything about volumes")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...", shell_complete=complete_volumes)
@click.option("-f", "--format", "template", metavar="FORMAT", help="json, or a Go template.")
@click.pass_obj
def inspect(settings: Settings, names: tuple[str, ...], template: str | None) -> None:
    """Show everything about volumes, as JSON.

    \b
    Example:
      lamella volume inspect -f '{{.Mountpoint}}' data
    """
    from cli.inspect import show
    from cli.wiring import open_store

    with open_store(settings) as store:
        raise Exit(show(names, [volume_look(store)], template, "volume"))


def volume_look(store: Store) -> Look:
    """How `inspect` finds a volume."""

    def look(name: str) -> dict[str, Any] | None:
        from runtime.volume_verbs import find, inspect
        from store.volumes import VolumeNotFound

        try:
            return inspect(store, find(store, name))
        except VolumeNotFound:
            return None

    return look
