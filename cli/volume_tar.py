"""`lamella volume export` and `lamella volume import`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.completion import complete_volumes
from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(short_help="Write a volume's files as a tar archive")
@click.argument("name", metavar="VOLUME", shell_complete=complete_volumes)
@click.option("-o", "--output", metavar="FILE", type=click.Path(), help="Write to a file instead of stdout.")
@click.pass_obj
def export(settings: Settings, name: str, output: str | None) -> None:
    """Write everything in a volume as a tar archive, with owners, modes and extended attributes. Containers may go on using
    it meanwhile.

    \b
    Examples:
      lamella volume export -o data.tar data
      lamella volume export data | zstd >data.tar.zst
    """
    from cli.containers import Workshop
    from cli.sink import sink
    from runtime.volume_tar import export as write_tar

    if output is None and sys.stdout.isatty():
        raise InvalidInput("cowardly refusing to save to a terminal", "use the -o flag or redirect")
    with Workshop(settings) as shop:
        shop.sweep()
        with sink(output, sync=settings.sync) as write:
            write_tar(shop.containers, name, write)


@click.command("import", short_help="Fill a volume from a tar archive")
@click.argument("name", metavar="VOLUME", shell_complete=complete_volumes)
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option("--replace", is_flag=True, help="Take away what is in it.")
@click.pass_obj
def import_(settings: Settings, name: str, file: str, replace: bool) -> None:
    """Fill a volume from a tar archive, which may be compressed; a volume that is not there is made. All of the archive is
    unpacked beside the volume first: one that is broken changes nothing.

    \b
    Examples:
      lamella volume import data data.tar
      zstd -dc data.tar.zst | lamella volume import --replace data -
    """
    import contextlib

    from cli.containers import Workshop
    from runtime.volume_tar import import_ as read_tar

    if file == "-" and sys.stdin.isatty():
        raise InvalidInput("cowardly refusing to read an archive from a terminal", "name a file, or redirect")
    with Workshop(settings) as shop, contextlib.ExitStack() as stack:
        try:
            stream = sys.stdin.buffer if file == "-" else stack.enter_context(open(file, "rb"))
        except OSError as error:
            raise InvalidInput(f"cannot read {file}: {error.strerror}") from error
        shop.sweep()
        read_tar(shop.containers, name, stream, replace=replace)
    click.echo(name)
