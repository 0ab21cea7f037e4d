"""`lamella load`, also `lamella image load`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.load import Loaded


@click.command(short_help="Bring in images from an archive")
@click.option(
    "-i",
    "--input",
    "source",
    metavar="FILE",
    type=click.Path(),
    help="Read a file or an OCI layout's directory [stdin].",
)
@click.option("--platform", metavar="OS/ARCH", help="Choose among the platforms that the archive has.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_obj
def load(settings: Settings, source: str | None, platform: str | None, quiet: bool) -> None:
    """Bring in the images of an archive, with their names.

    It may be what `save` of lamella, docker or podman wrote, or an OCI layout, compressed or not.

    \b
    Examples:
      lamella load -i app.tar
      ssh builder lamella save app:1.0 | lamella load
      lamella load -i layout --platform linux/arm64
    """
    from cli.transfer import watched
    from cli.wiring import open_layers, open_store
    from image.platform import Platform
    from images.load import load

    wanted = Platform.parse(platform) if platform else None
    if source is None and sys.stdin.isatty():
        raise InvalidInput("requested load from stdin, but stdin is empty", "name a file with -i, or redirect")
    with open_store(settings) as store:
        layers = open_layers(store)
        with watched(quiet) as progress:
            if source not in (None, "-"):
                events = load(store, layers, Path(str(source)), platform=wanted, progress=progress)
            else:
                with open(0, "rb", buffering=0, closefd=False) as stream:
                    events = load(store, layers, stream, platform=wanted, progress=progress)
    for event in events:
        click.echo(_line(event))


def _line(event: Loaded) -> str:
    if event.kind == "untagged":
        return f"Loaded image ID: {event.image}"
    assert event.name is not None
    if event.kind == "tagged":
        return f"Loaded image: {event.name.familiar}"
    return f"The image {event.name.familiar} already exists, renaming the old one with ID {event.image} to empty string"
