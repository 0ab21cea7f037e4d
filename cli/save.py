"""`lamella save`, also `lamella image save`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.completion import complete_images
from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings

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
    if form != "docker-archive":
        raise InvalidInput("later")
    if output is None and (form == "oci-dir" or sys.stdout.isatty()):
        raise InvalidInput("cowardly refusing to save to a terminal", "use the -o flag or redirect")
    with open_store(settings) as store, store.leases.take("save") as lease:
        with store.transaction():
            chosen = choose(store, images, wanted)
            for one in chosen:
                lease.hold_image(one.image.id)
        with sink(output, sync=settings.sync) as write, watched(quiet) as progress:
            save(store, open_layers(store), chosen, write, progress=progress)
