"""`lamella image mount` and `lamella image unmount`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cli.completion import complete_images
from cli.containers import each
from cli.exit import Exit

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.mounts import ImageMounts, Mounted
    from store.store import Store


@contextlib.contextmanager
def open_mounts(settings: Settings) -> Iterator[tuple[Store, ImageMounts]]:
    """The store, and its images that are mounted."""
    from cli.wiring import open_store
    from images.mounts import ImageMounts
    from runtime.state import state_directory
    from snapshot.choose import choose
    from snapshot.layers import Layers

    with open_store(settings) as store:
        viewer = choose(store.root)
        yield store, ImageMounts(store, Layers(store, viewer), viewer, state_directory(settings.root) / "images")


@click.command(short_help="Show images in the file system, or list those that are shown")
@click.argument("images", nargs=-1, metavar="[IMAGE...]", shell_complete=complete_images)
@click.option("-a", "--all", "everything", is_flag=True, help="Mount all images.")
@click.option("--format", "form", type=click.Choice(["json"]), help="List as JSON.")
@click.pass_obj
def mount(settings: Settings, images: tuple[str, ...], everything: bool, form: str | None) -> None:
    """Mount images, read-only, and print where; without IMAGE list those that are mounted.

    An image stays mounted, and cannot be removed, until it is unmounted as often as it was mounted, or the machine restarts.

    \b
    Examples:
      ls $(lamella image mount app:1.0)/srv
      lamella image mount
    """
    from images.resolve import resolve

    with open_mounts(settings) as (store, mounts):
        if everything:
            images = tuple(str(image.id) for image in store.images.all(intermediate=False))
        if not images:
            _list(store, mounts.all(), form)
            return

        def one(name: str) -> None:
            shown = _name(store, name)
            path = mounts.mount(lambda: resolve(store, name), shown)
            click.echo(path if len(images) == 1 and not everything else f"{shown} {path}")

        raise Exit(each(images, one))


@click.command(short_help="End what `image mount` shows")
@click.argument("images", nargs=-1, metavar="[IMAGE...]", shell_complete=complete_images)
@click.option("-a", "--all", "everything", is_flag=True, help="Unmount all images.")
@click.option("-f", "--force", is_flag=True, help="However often it was mounted.")
@click.pass_obj
def unmount(settings: Settings, images: tuple[str, ...], everything: bool, force: bool) -> None:
    """Unmount images and print their IDs.

    \b
    Example:
      lamella image unmount app:1.0
    """
    from images.resolve import resolve

    if bool(images) == everything:
        raise click.UsageError("name images, or use --all")
    with open_mounts(settings) as (store, mounts):
        if everything:
            images = tuple(str(mounted.image) for mounted in mounts.all())

        def one(name: str) -> None:
            image = resolve(store, name)
            mounts.unmount(image.id, force=force)
            click.echo(image.id.hex)

        raise Exit(each(images, one))


def _name(store: Store, text: str) -> str:
    """What to call the image: its first tag, else its short ID."""
    from images.resolve import resolve

    image = resolve(store, text)
    tags = store.tags.of_image(image.id)
    return tags[0].reference.familiar if tags else image.id.short


def _list(store: Store, found: list[Mounted], form: str | None) -> None:
    names = {one.image: [tag.reference.familiar for tag in store.tags.of_image(one.image)] for one in found}
    if form is None:
        for one in found:
            click.echo(f"{names[one.image][0] if names[one.image] else one.image.short} {one.path}")
        return
    import json

    rows = [{"id": one.image.hex, "Repositories": names[one.image], "mountpoint": str(one.path)} for one in found]
    click.echo(json.dumps(rows, indent=1))
