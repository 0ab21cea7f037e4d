"""`lamella cp`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from cli.completion import complete_places
from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings
    from runtime.copying import Copied


@click.command(short_help="Copy files between a container and this machine")
@click.argument("source", metavar="CONTAINER:PATH|PATH|-", shell_complete=complete_places)
@click.argument("destination", metavar="CONTAINER:PATH|PATH|-", shell_complete=complete_places)
@click.option("-a", "--archive", is_flag=True, help="Keep users, groups and all modes.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what a link at the source points to.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was copied.")
@click.pass_obj
def cp(settings: Settings, source: str, destination: str, archive: bool, follow_link: bool, quiet: bool) -> None:
    """Copy files out of a container or into one, whether it runs or not.

    In place of a path on this machine, `-` is a tar on stdin or stdout. `DIR/.` stands for what is in the directory.
    What is copied belongs to root in the container, and to you on this machine, unless -a is given.

    \b
    Examples:
      lamella cp web:/etc/nginx ./nginx
      lamella cp site/. web:/srv
      tar c site | lamella cp - web:/srv
    """
    from cli.containers import Workshop
    from runtime.copying import Wish, into, into_from_tar, out, out_as_tar

    (from_name, from_path), (to_name, to_path) = split(source), split(destination)
    check(from_name, from_path, to_name, to_path)
    wish = Wish(archive, follow_link)
    from_path, to_path = (
        text if name or text == "-" else here(text) for name, text in ((from_name, from_path), (to_name, to_path))
    )
    with Workshop(settings) as shop:
        shop.sweep()
        container = shop.containers.find(from_name or to_name)
        if to_path == "-" and from_name:
            if sys.stdout.isatty():
                raise InvalidInput("cowardly refusing to copy to a terminal", "name a directory, or redirect")
            sys.stdout.flush()
            return out_as_tar(shop.containers, container, from_path, sys.stdout.buffer, wish)
        if from_name:
            copied = out(shop.containers, container, from_path, to_path, wish)
        elif from_path == "-":
            copied = into_from_tar(shop.containers, container, sys.stdin.buffer, to_path)
        else:
            copied = into(shop.containers, container, from_path, to_path, wish)
    return say(copied, destination, quiet=quiet)


def split(text: str) -> tuple[str, str]:
    """A container's name and a path in it; no name for a path on this machine. Raises InvalidInput where one is missing."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or not name:
        return "", text
    if not path:
        raise InvalidInput(f"no path in {text!r}", "write CONTAINER:PATH")
    return name, path if path.startswith("/") else f"/{path}"


def here(path: str) -> str:
    """A path on this machine from the top; what it says about being a directory is kept."""
    whole = os.path.abspath(path)
    ending = "/." if path.endswith("/.") or path == "." else "/" if path.endswith("/") else ""
    return whole.rstrip("/") + ending if ending else whole


def check(from_name: str, from_path: str, to_name: str, to_path: str) -> None:
    """Raises InvalidInput for what cannot be copied."""
    if from_name and to_name:
        raise InvalidInput("copying between containers is not supported", "copy to this machine first, or by a tar")
    if not (from_name or to_name):
        raise InvalidInput("must specify at least one container source", "write CONTAINER:PATH")
    if not from_path or not to_path:
        raise InvalidInput(f"{'destination' if from_path else 'source'} can not be empty")


def say(copied: Copied, destination: str, *, quiet: bool) -> None:
    """What could not be copied, and on a terminal how much was."""
    from core.units import human_size

    if copied.left_out:
        sys.stderr.write(f"lamella: devices are copied with -a only, left out: {', '.join(copied.left_out)}\n")
    if not quiet and os.isatty(1):
        sys.stderr.write(f"Successfully copied {human_size(copied.bytes)} to {destination}\n")
