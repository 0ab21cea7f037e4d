"""`lamella pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.spelling import DockerCommand
from cli.transfer import shown, tls_verify_option

if TYPE_CHECKING:
    from cli.settings import Settings
    from image.platform import Platform
    from image.reference import Reference
    from registry.client.client import Client
    from snapshot.layers import Layers
    from store.store import Store


@click.command(cls=DockerCommand, short_help="Download an image from a registry")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
@click.option("-a", "--all-tags", is_flag=True, help="Download every tag of the repository.")
@click.option("--platform", metavar="OS/ARCH", help="Choose among the platforms that the image is there for.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the name.")
@tls_verify_option
@click.pass_obj
def pull(settings: Settings, name: str, all_tags: bool, platform: str | None, quiet: bool, tls_verify: bool) -> None:
    """Download an image from a registry.

    Layers that are here already are not fetched again, and the image appears only when all of it is here.

    \b
    Examples:
      lamella pull debian:bookworm-slim
      lamella pull localhost:5000/team/app:1.0
      lamella pull --platform linux/arm64 alpine
      lamella pull --tls-verify=false registry.lan/app
    """
    from cli.wiring import open_client, open_layers, open_store
    from image.platform import Platform
    from image.reference import Reference

    reference = Reference.parse(name)
    if all_tags and (reference.tag or reference.digest):
        raise click.UsageError("a tag or digest cannot be combined with --all-tags")
    wanted = Platform.parse(platform) if platform else None
    if not quiet and not all_tags and reference.tagged() != reference:
        click.echo("Using default tag: latest")
    with open_store(settings) as store, open_client(settings, tls_verify=tls_verify) as client:
        layers = open_layers(store)
        references = [reference.with_tag(tag) for tag in client.tags(reference)] if all_tags else [reference.tagged()]
        for one in references:
            _pull(client, store, layers, one, wanted, quiet)


def _pull(
    client: Client, store: Store, layers: Layers, reference: Reference, platform: Platform | None, quiet: bool
) -> None:
    from image.platform import host_platform

    found = client.resolve(reference, platform, store=store)
    if not platform and not host_platform().accepts(found.config.platform):
        click.echo(f"WARNING: the image is for {found.config.platform}, this machine is {host_platform()}", err=True)
    if not quiet:
        click.echo(f"{reference.digest or reference.tag}: Pulling from {reference.path}")
    with shown(quiet) as client.progress:
        pulled = client.fetch(found, store, layers)
    if not quiet:
        status = "Downloaded newer image for" if pulled.updated else "Image is up to date for"
        click.echo(f"Digest: {pulled.target.digest}\nStatus: {status} {reference.familiar}")
    click.echo(str(reference))
