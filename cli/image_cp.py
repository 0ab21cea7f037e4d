"""`lamella image cp`: an image from anywhere to anywhere."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from cli.completion import complete_images
from cli.transfer import tls_verify_option

if TYPE_CHECKING:
    from cli.settings import Settings
    from cli.transports import Place, Wired
    from core.progress import Progress
    from image.digest import Digest
    from image.platform import Platform


@click.command(short_help="Copy an image between the store, registries, layouts and archives")
@click.argument("source", metavar="SOURCE", shell_complete=complete_images)
@click.argument("destination", metavar="DESTINATION")
@click.option("-a", "--all", "every", is_flag=True, help="Copy every platform of the image.")
@click.option("--platform", metavar="OS/ARCH", help="Choose among the platforms that the image is there for.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@tls_verify_option
@click.pass_obj
def cp(
    settings: Settings, source: str, destination: str, every: bool, platform: str | None, quiet: bool, tls_verify: bool
) -> None:  # fmt: skip
    """Copy an image, its digests unchanged wherever the formats allow it, and print the digest of what was copied.

    \b
    A place is one of:
      NAME, store:NAME               an image of lamella's own store
      docker://NAME                  a registry
      oci:DIRECTORY[:TAG]            an OCI layout
      oci-archive:FILE[:TAG]         an OCI layout in a tar
      docker-archive:FILE[:NAME:TAG] what `docker save` writes

    \b
    Examples:
      lamella image cp docker://alpine:3.20 docker://localhost:5000/alpine:3.20 --all
      lamella image cp app:1.0 oci:layout:1.0
      lamella image cp oci-archive:app.tar app:1.0
    """
    from cli.transfer import watched
    from cli.transports import Wired, parse
    from cli.wiring import open_client, open_layers, open_store
    from image.platform import Platform

    if every and platform:
        raise click.UsageError("--all cannot be combined with --platform")
    wanted = Platform.parse(platform) if platform else None
    origin, goal = parse(source), parse(destination)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        client = stack.enter_context(open_client(settings, tls_verify=tls_verify))
        wired = Wired(store, open_layers(store), client, settings.sync)
        progress = stack.enter_context(watched(quiet))
        click.echo(_copy(origin, goal, wired, progress, wanted, every))


def _copy(
    origin: Place, goal: Place, wired: Wired, progress: Progress, platform: Platform | None, every: bool
) -> Digest:
    from cli import transports
    from core.errors import NotFound
    from images.copy import copy

    if not every and origin.kind == "store" and goal.kind in ("docker", "docker-archive"):
        return _pushed(origin, goal, wired, progress, platform)
    try:
        with (
            transports.source(origin, wired, every=every) as source,
            transports.destination(goal, wired, origin) as there,
        ):
            return copy(source, there, platform=platform, every=every, progress=progress).digest
    except NotFound as error:
        if origin.path is None:
            raise
        raise NotFound(f"{origin.text}: {error.message}", error.hint) from error


def _pushed(origin: Place, goal: Place, wired: Wired, progress: Progress, platform: Platform | None) -> Digest:
    """From the store, layers are compressed for a registry as `push` does it, and are plain in a docker-archive as in
    `save`."""
    from cli.sink import sink
    from core.errors import NotFound
    from image.reference import Reference
    from images.resolve import resolve
    from images.save import Chosen, save

    store = wired.store
    with store.leases.take("copy") as lease:
        with store.transaction():
            image = resolve(store, origin.name)
            lease.hold_image(image.id)
        if platform and not platform.accepts(image.platform):
            raise NotFound(
                f"{origin.name} is for {image.platform}, not for {platform}", "pull it for that platform first"
            )
        if goal.kind == "docker":
            wired.client.progress = progress
            return wired.client.push(image, Reference.parse(goal.name), store, wired.layers).digest
        names = (Reference.parse(goal.name).tagged(),) if goal.name else ()
        with sink(str(goal.path), sync=wired.sync) as write:
            save(store, wired.layers, [Chosen(image, names)], write, progress=progress)
        return image.manifest.digest
