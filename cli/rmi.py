"""`lamella rmi`, also `lamella image rm`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cli.completion import complete_images

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.remove import Event


@click.command(short_help="Untag images, and remove those without a name")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", shell_complete=complete_images)
@click.option(
    "-f", "--force", is_flag=True, help="Also where the image has several names or a stopped container uses it."
)
@click.option("--no-prune", is_flag=True, help="Keep parents that have no name.")
@click.option("--platform", metavar="OS/ARCH", help="Only where the image is for this platform.")
@click.pass_obj
def rmi(settings: Settings, images: tuple[str, ...], force: bool, no_prune: bool, platform: str | None) -> int:
    """Take names away from images, and delete an image with its last name.

    An image that a container uses, or that another image was built on, stays.

    \b
    Examples:
      lamella rmi app:1.0
      lamella rmi -f 0e5574283393
      lamella rmi $(lamella images -q -f dangling=true)
    """
    from cli.exit import report
    from cli.wiring import open_store
    from core.errors import LamellaError
    from image.platform import Platform
    from images.remove import free, remove
    from images.resolve import ImageNotFound

    code, events = 0, []
    options: dict[str, Any] = {"force": force, "prune_parents": not no_prune}
    options["platform"] = Platform.parse(platform) if platform else None
    with open_store(settings, making_room=True) as store:
        for name in images:
            try:
                events += _patiently(settings, partial(remove, store, name, **options))
            except LamellaError as error:
                failed = report(error)
                code = code if force and isinstance(error, ImageNotFound) else failed
        try:
            if any(event.kind == "deleted" for event in events):
                events = free(store, events).events
        finally:
            _say(events)
    return code


def _patiently(settings: Settings, work: Callable[[], list[Event]]) -> list[Event]:
    """`work`, and once more if a container was in the way that may only have been killed: those are swept up first."""
    from images.rules import RemovalConflict

    try:
        return work()
    except RemovalConflict as conflict:
        if not conflict.used:
            raise
    sweep_containers(settings)
    return work()


def sweep_containers(settings: Settings) -> None:
    """Let go of what killed containers, and mounts that are gone, still hold."""
    from cli.containers import Workshop
    from cli.image_mount import open_mounts

    with Workshop(settings) as shop:
        shop.sweep()
    with open_mounts(settings) as (_, mounts):
        mounts.sweep()


def _say(events: list[Event]) -> None:
    for event in events:
        click.echo(f"{event.kind.capitalize()}: {event.text}")
