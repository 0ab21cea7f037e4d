"""`lamella save`, also `lamella image save`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.completion import complete_images
from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.save import Chosen
    from store.store import Store

FORMATS = ("docker-archive", "oci-archive", "oci-dir")


@click.command(short_help="Write images to a tar archive")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", shell_complete=complete_images)
@click.option("-o", "--output", metavar="FILE", type=click.Path(), help="Write to a file instead of stdout.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="docker-archive", show_default=True,
    help="docker-archive is an OCI layout too; the others keep compressed layers as they are.",
)  # fmt: skip
@click.option("--platform", metavar="OS/ARCH", help="Fail where an image is for another platform.")
@click.option("-m", "--multi-image-archive", is_flag=True, hidden=True)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_obj
def save(
    settings: Settings, images: tuple[str, ...], output: str | None, form: str, platform: str | None,
    multi_image_archive: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write images to a tar archive, for `lamella load`, `docker load`, `podman load`, skopeo and other tools.

    A name without a tag stands for all tags of it. Layers that images share are written once.

    \b
    Examples:
      lamella save -o app.tar app:1.0
      lamella save app:1.0 app:2.0 | zstd >apps.tar.zst
      lamella save --format oci-dir -o layout app:1.0
    """
    from cli.sink import sink
    from cli.transfer import watched
    from cli.wiring import open_layers, open_store
    from image.platform import Platform
    from images.save import choose, save

    wanted = Platform.parse(platform) if platform else None
    if output is None and (form == "oci-dir" or sys.stdout.isatty()):
        raise InvalidInput("cowardly refusing to save to a terminal", "use the -o flag or redirect")
    with open_store(settings) as store, store.leases.take("save") as lease:
        with store.transaction():
            chosen = choose(store, images, wanted)
            for one in chosen:
                lease.hold_image(one.image.id)
        if form != "docker-archive":
            _copy(settings, store, chosen, output, form, quiet)
            return
        with sink(output, sync=settings.sync) as write, watched(quiet) as progress:
            save(store, open_layers(store), chosen, write, progress=progress)


def _copy(
    settings: Settings, store: Store, chosen: Sequence[Chosen], output: str | None, form: str, quiet: bool
) -> None:
    """The forms that podman has besides: the image's own manifest and its layers as they came."""
    from cli.transfer import watched
    from cli.transports import Place, Wired, destination
    from cli.wiring import open_client, open_layers
    from images.copy import copy
    from images.store_endpoints import StoreSource

    if len(chosen) > 1 or len(chosen[0].names) > 1:
        raise InvalidInput(f"{form} takes one image under one name", "save several as docker-archive, or one by one")
    name = str(chosen[0].names[0]) if chosen[0].names else ""
    place = Place("oci" if form == "oci-dir" else form, name, Path(output) if output else None, output or "-")
    wired = Wired(store, open_layers(store), open_client(settings), settings.sync)
    with destination(place, wired, place) as goal, watched(quiet) as progress:
        copy(StoreSource(store, wired.layers, chosen[0].image), goal, progress=progress)
