"""`lamella fsck`."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from image.digest import Digest
    from image.platform import Platform
    from image.reference import Reference
    from images.fsck import Report
    from images.sources import Action


@click.command(short_help="Check that everything in the store is whole")
@click.option("-q", "--quiet", is_flag=True, help="Print only what is damaged.")
@click.option("--repair", "mend", is_flag=True, help="Get again what is damaged, and remove what nothing needs.")
@click.option("--format", "template", metavar="FORMAT", help="json, or a Go template.")
@click.pass_obj
def fsck(settings: Settings, quiet: bool, mend: bool, template: str | None) -> int:
    """Read everything that images, containers and the build cache need, and say what is damaged and who needs it.

    A damaged layer goes into quarantine: it is neither run, built on, nor sent any more. With --repair damaged things are
    unpacked, made or pulled again, by the digests that their registries know them by, and what nothing needs is removed.

    Exits with 1 when something is damaged at the end. What a crash has left behind is no damage: the next prune takes it.

    \b
    Examples:
      lamella fsck
      lamella fsck --repair
      lamella fsck --format json
    """
    from cli.output import render, write

    silent = quiet or bool(template) or not sys.stderr.isatty()
    found, actions, report = _repair(settings, silent) if mend else _check(settings, silent)
    if template:
        repairs = {"Repairs": [_plain_action(one) for one in actions]} if mend else {}
        write(render(template, _plain(report) | repairs) + "\n")
    else:
        write(_text(found, actions, report, quiet))
    return 1 if report.damages or not all(one.done for one in actions) else 0


def _check(settings: Settings, silent: bool) -> tuple[Report, list[Action], Report]:
    from cli.progress import display
    from cli.wiring import open_layers, open_store
    from images.fsck import fsck

    with open_store(settings) as store, closing(display("auto", quiet=silent)) as progress:
        report = fsck(store, open_layers(store).verify, progress)
    return report, [], report


def _repair(settings: Settings, silent: bool) -> tuple[Report, list[Action], Report]:
    from cli.progress import display
    from cli.rmi import sweep_containers
    from cli.wiring import open_client, open_layers, open_store
    from images.repair import repair

    sweep_containers(settings)
    with open_store(settings) as store, closing(display("auto", quiet=silent)) as progress:
        layers = open_layers(store)
        with open_client(settings, progress) as client:

            def pull(reference: Reference, platform: Platform) -> Digest:
                return client.pull(reference, store, layers, platform=platform).id

            done = repair(store, layers, pull, progress=progress)
    return done.before, done.actions, done.after


def _plain_action(action: Action) -> dict[str, Any]:
    return {"Kind": action.kind, "Name": action.name, "Done": action.done, "What": action.what}


def _plain(report: Report) -> dict[str, Any]:
    damages = [
        {"Kind": damage.kind, "Name": damage.name, "Reason": damage.reason, "NeededBy": list(damage.needed_by)}
        for damage in report.damages
    ]
    checked = {"Images": report.images, "Layers": report.layers, "Blobs": report.blobs}
    return {"Damaged": damages, "Checked": checked, "Leftovers": report.leftovers}


def _text(found: Report, actions: list[Action], report: Report, quiet: bool) -> str:
    lines = []
    for damage in found.damages:
        lines.append(f"damaged {damage.kind} {damage.name}: {damage.reason}")
        lines += [f"  needed by {name}" for name in damage.needed_by]
    for action in actions:
        lines.append(f"{'repaired' if action.done else 'NOT repaired'} {action.kind} {action.name}: {action.what}")
    if not quiet:
        lines.append(
            f"checked {report.images} images, {report.layers} layers, {report.blobs} blobs: {_verdict(report)}"
        )
    if report.leftovers and not quiet:
        noun = "leftover" if report.leftovers == 1 else "leftovers"
        lines.append(f"{report.leftovers} {noun} that the next prune takes")
    return "".join(f"{line}\n" for line in lines)


def _verdict(report: Report) -> str:
    return (
        f"{len(report.damages)} damaged; `lamella fsck --repair` mends what it can" if report.damages else "all whole"
    )
