"""`lamella image prune`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.prune import Pruned

_WARNINGS = {
    False: "This will remove all dangling images.",
    True: "This will remove all images without at least one container associated to them.",
}


@click.command(short_help="Remove images that nobody needs")
@click.option(
    "-a", "--all", "all_unused", is_flag=True, help="All images that no container uses, not only dangling ones."
)
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE",
    help="until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE] (repeatable).",
)  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def prune(settings: Settings, all_unused: bool, filters: tuple[str, ...], force: bool, dry_run: bool) -> None:
    """Remove the dangling images: those that have no name and that no other image was built on.

    \b
    Examples:
      lamella image prune
      lamella image prune -f --filter until=24h
      lamella image prune -a --dry-run
    """
    from cli.builder import mention_cache
    from cli.rmi import sweep_containers
    from cli.wiring import open_store
    from images.filters import Filters
    from images.prune import FILTERS
    from images.prune import prune as prune_images

    wanted = Filters.parse(filters, FILTERS)
    if not force and not dry_run and not confirmed(_WARNINGS[all_unused]):
        return
    with open_store(settings) as store:
        if any(True for _ in store.holds.all()):
            sweep_containers(settings)
        _say(prune_images(store, wanted, all_unused=all_unused, dry_run=dry_run), dry_run=dry_run)
        mention_cache(store)


def confirmed(warning: str) -> bool:
    """Ask on stderr and read the answer from stdin; whatever is not yes is no."""
    sys.stderr.write(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(pruned: Pruned, *, dry_run: bool) -> None:
    from core.units import human_size

    if pruned.events:
        click.echo("Images that would be deleted:" if dry_run else "Deleted Images:")
        click.echo("".join(f"{event.kind}: {event.text}\n" for event in pruned.events))
    click.echo(f"Total {'reclaimable' if dry_run else 'reclaimed'} space: {human_size(pruned.reclaimed, digits=4)}")
