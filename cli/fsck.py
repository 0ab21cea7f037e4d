"""`lamella fsck`."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.fsck import Report


@click.command(short_help="Check that everything in the store is whole")
@click.option("-q", "--quiet", is_flag=True, help="Print only what is damaged.")
@click.option("--format", "template", metavar="FORMAT", help="json, or a Go template.")
@click.pass_obj
def fsck(settings: Settings, quiet: bool, template: str | None) -> int:
    """Read everything that images, containers and the build cache need, and say what is damaged and who needs it.

    Exits with 1 when something is damaged. What a crash has left behind is no damage: the next prune takes it.

    \b
    Examples:
      lamella fsck
      lamella fsck --format json
    """
    from cli.output import render, write
    from cli.progress import display
    from cli.wiring import open_layers, open_store
    from images.fsck import fsck

    silent = quiet or bool(template) or not sys.stderr.isatty()
    with open_store(settings) as store, closing(display("auto", quiet=silent)) as progress:
        report = fsck(store, open_layers(store).verify, progress)
    write(render(template, _plain(report)) + "\n" if template else _text(report, quiet))
    return 1 if report.damages else 0


def _plain(report: Report) -> dict[str, Any]:
    damages = [
        {"Kind": damage.kind, "Name": damage.name, "Reason": damage.reason, "NeededBy": list(damage.needed_by)}
        for damage in report.damages
    ]
    checked = {"Images": report.images, "Layers": report.layers, "Blobs": report.blobs}
    return {"Damaged": damages, "Checked": checked, "Leftovers": report.leftovers}


def _text(report: Report, quiet: bool) -> str:
    lines = []
    for damage in report.damages:
        lines.append(f"damaged {damage.kind} {damage.name}: {damage.reason}")
        lines += [f"  needed by {name}" for name in damage.needed_by]
    if not quiet:
        lines.append(
            f"checked {report.images} images, {report.layers} layers, {report.blobs} blobs: {_verdict(report)}"
        )
    if report.leftovers and not quiet:
        noun = "leftover" if report.leftovers == 1 else "leftovers"
        lines.append(f"{report.leftovers} {noun} that the next prune takes")
    return "".join(f"{line}\n" for line in lines)


def _verdict(report: Report) -> str:
    return f"{len(report.damages)} damaged; pull or build again what needs them" if report.damages else "all whole"
