"""`lamella push`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.completion import complete_images
from cli.spelling import DockerCommand
from cli.transfer import shown, tls_verify_option
from core.errors import NotFound

if TYPE_CHECKING:
    from cli.settings import Settings
    from image.reference import Reference
    from registry.client.client import Client
    from snapshot.layers import Layers
    from store.store import Store


@click.command(cls=DockerCommand, short_help="Upload an image to a registry")
@click.argument("name", metavar="NAME[:TAG]", shell_complete=complete_images)
@click.option("-a", "--all-tags", is_flag=True, help="Upload every tag of the repository that is here.")
@click.option(
    "--compression", type=click.Choice(["gzip", "zstd", "none"]), default="gzip", show_default=True,
    help="For layers that were never sent before.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print only the name.")
@tls_verify_option
@click.pass_obj
def push(settings: Settings, name: str, all_tags: bool, compression: str, quiet: bool, tls_verify: bool) -> None:
    """Upload an image to a registry.

    The name says which registry: give the image a name there with `lamella tag` first.

    \b
    Examples:
      lamella push localhost:5000/team/app:1.0
      lamella push --compression zstd registry.example.com/app
      lamella push --tls-verify=false registry.lan/app
    """
    from cli.wiring import open_client, open_layers, open_store
    from image.reference import Reference

    reference = Reference.parse(name)
    if all_tags and (reference.tag or reference.digest):
        raise click.UsageError("a tag cannot be combined with --all-tags")
    if not quiet and not all_tags and reference.tagged() != reference:
        click.echo("Using default tag: latest")
    with open_store(settings) as store, open_client(settings, tls_verify=tls_verify) as client:
        layers = open_layers(store)
        tags = [tag.reference for tag in store.tags.of_repository(reference.repository)] if all_tags else []
        if all_tags and not tags:
            raise _missing(reference)
        if not quiet:
            click.echo(f"The push refers to repository [{reference.repository}]")
        for one in tags or [reference.tagged()]:
            _push(client, store, layers, one, compression, quiet)


def _push(client: Client, store: Store, layers: Layers, reference: Reference, compression: str, quiet: bool) -> None:
    from images.resolve import lookup

    image = lookup(store, reference)
    if image is None:
        raise _missing(reference)
    with shown(quiet) as client.progress:
        manifest = client.push(image, reference, store, layers, compression=compression)
    if quiet:
        click.echo(str(reference))
    else:
        click.echo(f"{reference.tag or reference.digest}: digest: {manifest.digest} size: {manifest.size}")


def _missing(reference: Reference) -> NotFound:
    return NotFound(
        f"no image here is called {reference.familiar}",
        f"'lamella images' lists what is here; name one with 'lamella tag IMAGE {reference.familiar}'",
    )
