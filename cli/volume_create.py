"""`lamella volume create`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from cli.spelling import DockerCommand
from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(cls=DockerCommand, short_help="Make a volume")
@click.argument("name", required=False, metavar="[NAME]")
@click.option("-d", "--driver", metavar="NAME", default="local", help="local, or a volume plug-in.  [default: local]")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label the volume.")
@click.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="Option of the driver.")
@click.option("--name", "flag", metavar="NAME", hidden=True)
@click.pass_obj
def create(
    settings: Settings,
    name: str | None,
    driver: str,
    labels: tuple[str, ...],
    options: tuple[str, ...],
    flag: str | None,
) -> None:
    """Make a volume and print its name; without NAME an anonymous one. One that is there already stays as it is.

    The options of the local driver are mount(8)'s: type, device and o. What they mean is mounted while a container has it.

    \b
    Examples:
      lamella volume create data
      lamella volume create -o type=tmpfs -o device=tmpfs -o o=size=64m scratch
      lamella volume create -o type=nfs -o device=:/export -o o=addr=10.0.0.2 shared
    """
    from cli.wiring import open_store
    from runtime.volume_verbs import create as make
    from store.volumes import ANONYMOUS, Volume

    if name and flag:
        raise InvalidInput("conflicting options: either specify --name or provide positional arg, not both")
    name = name or flag
    anonymous = {} if name else {ANONYMOUS: ""}
    with open_store(settings) as store:
        volume = Volume(name or os.urandom(32).hex(), driver, {**_pairs(labels), **anonymous}, _pairs(options))
        click.echo(make(store, volume).name)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}
