"""`lamella history`, also `lamella image history`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from cli.completion import complete_images

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.history import Entry

WIDTH = 45  # what a table shows of a step's command, in characters
HEADINGS = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE",
    "Comment": "COMMENT",
}  # fmt: skip


@click.command(short_help="Show how an image came to be")
@click.argument("image", metavar="IMAGE", shell_complete=complete_images)
@click.option("-H", "--human/--no-human", default=True, help="Sizes and dates for people [on].")
@click.option("--format", "template", metavar="FORMAT", help="json, 'table TEMPLATE', or a Go template.")
@click.option("--no-trunc", is_flag=True, help="Show full IDs and commands.")
@click.option("-q", "--quiet", is_flag=True, help="Print only IDs.")
@click.pass_obj
def history(settings: Settings, image: str, human: bool, template: str | None, no_trunc: bool, quiet: bool) -> None:
    """Show the steps an image was made in, the last one first.

    \b
    Examples:
      lamella history app
      lamella history --no-trunc --format '{{.CreatedBy}}' app
    """
    from cli.output import print_rows
    from cli.wiring import open_store
    from images.history import history
    from images.resolve import resolve

    with open_store(settings) as store:
        entries = history(store, resolve(store, image))
    rows = [_row(entry, human, no_trunc) for entry in entries]
    shown = ["ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment"]
    print_rows(rows, HEADINGS, shown, template, quiet=quiet)


def _row(entry: Entry, human: bool, no_trunc: bool) -> dict[str, str]:
    from cli.output import ellipsis
    from core.units import human_duration, human_size

    created_by = entry.created_by.replace("\t", " ")
    if not no_trunc:
        created_by = ellipsis(created_by.replace("\n", " "), WIDTH)
    at = time.localtime(entry.created / 1e9)
    zone = time.strftime("%z", at)
    return {
        "ID": (str(entry.image) if no_trunc else entry.image.short) if entry.image else "<missing>",
        "CreatedSince": human_duration(time.time() - entry.created / 1e9) + " ago" if entry.created else "N/A",
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%S", at) + (f"{zone[:3]}:{zone[3:]}" if zone != "+0000" else "Z"),
        "CreatedBy": created_by,
        "Size": human_size(entry.size) if human else str(entry.size),
        "Comment": entry.comment,
    }  # fmt: skip
