"""`lamella tag`, also `lamella image tag`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.completion import complete_images

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(short_help="Give an image another name")
@click.argument("source", metavar="IMAGE", shell_complete=complete_images)
@click.argument("target", metavar="NAME[:TAG]", shell_complete=complete_images)
@click.pass_obj
def tag(settings: Settings, source: str, target: str) -> None:
    """Give an image another name. A name that another image has moves to this one.

    \b
    Examples:
      lamella tag app localhost:5000/team/app:1.0
      lamella tag 0e5574283393 app:stable
    """
    from cli.wiring import open_store
    from images.tagging import tag

    with open_store(settings) as store:
        tag(store, source, target)
