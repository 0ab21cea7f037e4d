"""`lamella inspect`, and `lamella image inspect`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.completion import complete_images, complete_objects

if TYPE_CHECKING:
    from cli.settings import Settings
    from store.store import Store

Look = Callable[[str], dict[str, Any] | None]

_format = click.option("-f", "--format", "template", metavar="FORMAT", help="json, or a Go template.")


@click.command(short_help="Show everything about images and containers")
@click.argument("names", nargs=-1, required=True, metavar="NAME|ID...", shell_complete=complete_objects)
@_format
@click.option(
    "--type", "kind", type=click.Choice(["container", "image", "volume", "network"]), help="Look only among these."
)
@click.option("-s", "--size", is_flag=True, help="Also what each container has written.")
@click.pass_obj
def inspect(settings: Settings, names: tuple[str, ...], template: str | None, kind: str | None, size: bool) -> int:
    """Show everything about containers, images, volumes and networks, as JSON. Where several have the name, the container is meant, then
    the image.

    \b
    Examples:
      lamella inspect app
      lamella inspect -f '{{.State.Status}}' web
      lamella inspect --type image --format '{{json .Config.Env}}' app
    """
    from cli.volume_inspect import volume_look
    from cli.wiring import open_store

    with open_store(settings) as store:
        looks = {
            "container": _container_look(settings, store, size), "image": _image_look(store),
            "volume": lambda name: volume_look(store)(name), "network": lambda name: _network_look(settings, name),
        }  # fmt: skip
        return show(names, [looks[kind]] if kind else list(looks.values()), template, kind or "object")


@click.command(short_help="Show everything about images")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...", shell_complete=complete_images)
@_format
@click.pass_obj
def image_inspect(settings: Settings, names: tuple[str, ...], template: str | None) -> int:
    """Show everything about images, as JSON.

    \b
    Examples:
      lamella image inspect app
      lamella image inspect -f '{{.RootFS.Layers}}' app
    """
    from cli.wiring import open_store

    with open_store(settings) as store:
        return show(names, [_image_look(store)], template, "image")


def show(names: Sequence[str], looks: Sequence[Look], template: str | None, what: str) -> int:
    """Print what the first of `looks` that knows it says of each name, and on stderr which names nobody knows; exit code."""
    found, missing = [], []
    for name in names:
        known = next((data for data in (look(name) for look in looks) if data is not None), None)
        if known is None:
            missing.append(name)
        else:
            found.append(known)
    _print(found, template)
    for name in missing:
        sys.stderr.write(f"Error: No such {what}: {name}\n")
    return 1 if missing else 0


def _print(found: list[dict[str, Any]], template: str | None) -> None:
    from cli.output import render, write

    if template and template != "json":
        return write("".join(render(template, data) + "\n" for data in found) or "\n")
    import json

    layout: dict[str, Any] = {"separators": (",", ":")} if template else {"indent": 4}
    return write(json.dumps(found, ensure_ascii=False, **layout) + "\n")


def _network_look(settings: Settings, name: str) -> dict[str, Any] | None:
    from cli.network_inspect import look
    from cli.wiring import open_hub

    with open_hub(settings) as hub:
        return look(hub, name)


def _image_look(store: Store) -> Look:
    from core.errors import InvalidInput
    from images.inspect import describe
    from images.resolve import ImageNotFound, resolve

    def look(name: str) -> dict[str, Any] | None:
        try:
            return describe(store, resolve(store, name))
        except (ImageNotFound, InvalidInput):
            return None

    return look


def _container_look(settings: Settings, store: Store, size: bool) -> Look:
    if not any(hold.kind == "container" for hold in store.holds.all()):
        return lambda name: None
    swept = False

    def look(name: str) -> dict[str, Any] | None:
        from cli.containers import Workshop
        from runtime.directories import NoSuchContainer
        from runtime.inspect import inspect
        from runtime.size import written

        nonlocal swept
        with Workshop(settings) as shop:
            try:
                found = shop.containers.find(name)
            except NoSuchContainer:
                return None
            if not swept:
                shop.sweep()
                swept = True
            more = {"SizeRw": written(shop.containers, found)} if size else {}
            return inspect(shop.containers, found) | more

    return look
