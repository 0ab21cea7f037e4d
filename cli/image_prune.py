"""`lamella image prune`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.filters import Filters
    from images.foresight import Verdict
    from images.remove import Event
    from store.store import Store

REMOVED = {False: "all dangling images", True: "all images without at least one container associated to them"}


@click.command(short_help="Remove images that nobody needs")
@click.option(
    "-a", "--all", "all_unused", is_flag=True, help="All images that no container uses, not only dangling ones."
)
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE",
    help="until=TIME (created), unused-for=TIME, label=KEY[=VALUE], label!=KEY[=VALUE] (repeatable).",
)  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say of every image whether it would go, why, and what that frees.")
@click.option("--format", "template", type=click.Choice(["json"]), help="Say it as JSON.")
@click.pass_obj
def prune(
    settings: Settings, all_unused: bool, filters: tuple[str, ...], force: bool, dry_run: bool, template: str | None
) -> None:
    """Remove the dangling images: those that have no name and that no other image was built on.

    \b
    Examples:
      lamella image prune
      lamella image prune -f --filter until=24h
      lamella image prune -af --filter unused-for=720h
      lamella image prune -a --dry-run
    """
    from cli.wiring import open_store
    from images.filters import Filters
    from images.prune import FILTERS

    wanted = Filters.parse(filters, FILTERS)
    if not force and not dry_run and not confirmed(f"This will remove {REMOVED[all_unused]}."):
        return
    with open_store(settings, making_room=True) as store:
        sweep_held(settings, store)
        say = _foretell if dry_run else _prune
        say(store, wanted, all_unused, template is not None)


def sweep_held(settings: Settings, store: Store) -> None:
    """Let go of what killed containers still hold, where any container is known at all."""
    from cli.rmi import sweep_containers

    if any(True for _ in store.holds.all()):
        sweep_containers(settings)


def _prune(store: Store, wanted: Filters, all_unused: bool, as_json: bool) -> None:
    from cli.builder import mention_cache
    from images.prune import prune

    pruned = prune(store, wanted, all_unused=all_unused)
    if as_json:
        deleted = [{event.kind.capitalize(): event.text} for event in pruned.events]
        return _json({"ImagesDeleted": deleted, "SpaceReclaimed": pruned.reclaimed})
    say_deleted(pruned.events)
    say_total(pruned.reclaimed)
    return mention_cache(store)


def say_deleted(events: Sequence[Event]) -> None:
    """What went, in Docker's words; nothing where nothing did."""
    if events:
        click.echo("Deleted Images:\n" + "".join(f"{event.kind}: {event.text}\n" for event in events))


def say_total(reclaimed: int, word: str = "reclaimed") -> None:
    """The last line of every prune."""
    from core.units import human_size

    click.echo(f"Total {word} space: {human_size(reclaimed, digits=4)}")


def _foretell(store: Store, wanted: Filters, all_unused: bool, as_json: bool) -> None:
    from cli.builder import mention_cache
    from images.foresight import foresee

    foreseen = foresee(store, wanted, all_unused=all_unused)
    if as_json:
        images = [
            {
                "ID": str(one.image.id), "Names": one.names, "Action": one.action, "Reason": one.why, "Bytes": one.bytes,
                "CachedBytes": one.cached,
            }
            for one in foreseen.verdicts
        ]  # fmt: skip
        return _json({"Images": images, "Leftovers": foreseen.leftovers, "SpaceReclaimable": foreseen.reclaimable})
    _say_verdicts(foreseen.verdicts)
    say_total(foreseen.reclaimable, "reclaimable")
    return mention_cache(store)


def _say_verdicts(verdicts: Sequence[Verdict]) -> None:
    from cli.images import some_names
    from cli.output import print_table
    from core.units import human_size

    if not verdicts:
        return
    rows = []
    for one in verdicts:
        cached = f"; the build cache keeps {human_size(one.cached)} of it" if one.cached else ""
        size = human_size(one.bytes) if one.action == "delete" else "-"
        rows.append([one.action, some_names(one.names), one.image.id.short, size, one.why + cached])
    print_table(["ACTION", "IMAGE", "IMAGE ID", "FREES", "WHY"], rows)
    click.echo()


def _json(data: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(data, ensure_ascii=False))


def confirmed(warning: str) -> bool:
    """Ask on stderr and read the answer from stdin; whatever is not yes is no."""
    return answered_yes(f"WARNING! {warning}\n")


def answered_yes(text: str) -> bool:
    """The same, with all of the text given."""
    sys.stderr.write(f"{text}Are you sure you want to continue? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
