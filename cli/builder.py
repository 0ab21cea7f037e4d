"""`lamella builder`: the build cache, under Docker's names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.main import COMMANDS, LazyGroup

if TYPE_CHECKING:
    from cli.settings import Settings
    from store.cache import Entry, Pruned
    from store.store import Store

TABLE = {
    "build": COMMANDS["build"],
    "du": ("cli.builder:du", "Show what the build cache keeps"),
    "prune": ("cli.builder:prune", "Remove build cache"),
}
FILTERS = frozenset({"until", "unused-for", "type"})
HEADINGS = {
    "ID": "ID", "Reclaimable": "RECLAIMABLE", "Shared": "SHARED", "InUse": "IN USE", "Size": "SIZE",
    "CreatedSince": "CREATED", "LastUsedSince": "LAST ACCESSED", "UsageCount": "USAGE", "CacheType": "CACHE TYPE",
    "Description": "DESCRIPTION",
}  # fmt: skip
SHOWN = ("ID", "Reclaimable", "Size", "LastUsedSince")
_DESCRIPTIONS = {"exec.cachemount": "cached mount {}", "source.git.checkout": "git repository {}"}
_WARNINGS = {False: "This will remove all dangling build cache.", True: "This will remove all build cache."}


@click.group(cls=LazyGroup, table=TABLE, short_help="Manage builds and their cache")
def builder() -> None:
    """Manage builds and their cache.

    \b
    Examples:
      lamella builder du
      lamella builder prune
    """


@click.command(short_help="Remove build cache")
@click.option("-a", "--all", "everything", is_flag=True, help="All of it, not only what no image and container uses.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="until=TIME: only what was not used since then; type=regular|exec.cachemount|source.git.checkout.",
)
@click.option(
    "--keep-storage", "--reserved-space", "keep", metavar="SIZE", help="Keep what was used last, up to this size."
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def prune(
    settings: Settings, everything: bool, filters: tuple[str, ...], keep: str | None, force: bool, dry_run: bool
) -> None:
    """Remove build cache that no image and no container uses, with the directories of cache mounts and what was
    fetched of git repositories, and free the space. The next build does that work again.

    \b
    Examples:
      lamella builder prune
      lamella builder prune -f --filter until=48h
      lamella builder prune -af --keep-storage 10GB
    """
    from cli.image_prune import confirmed
    from cli.wiring import open_store
    from core.units import parse_size
    from images.filters import Filters
    from store.cache import KINDS
    from store.cache import prune as prune_cache

    wanted = Filters.parse([text.replace("unused-for=", "until=", 1) for text in filters], FILTERS)
    before, bytes_ = wanted.until(), parse_size(keep) if keep else 0
    if not force and not dry_run and not confirmed(_WARNINGS[everything]):
        return
    with open_store(settings, making_room=True) as store:
        kinds = wanted.get("type") or KINDS
        _say(
            prune_cache(store, everything=everything, before=before, keep=bytes_, kinds=kinds, dry_run=dry_run), dry_run
        )


def say_cache(entries: Sequence[Entry], title: str | None = None) -> None:
    """What went, in Docker's words; nothing where nothing did."""
    if entries:
        click.echo((title or "Deleted build cache objects:") + "\n" + "".join(f"{entry.key}\n" for entry in entries))


def _say(pruned: Pruned, dry_run: bool) -> None:
    from core.units import human_size

    say_cache(pruned.entries, "Build cache objects that would be deleted:" if dry_run else None)
    click.echo(f"Total {'reclaimable' if dry_run else 'reclaimed'} space: {human_size(pruned.reclaimed, digits=4)}")


@click.command(short_help="Show what the build cache keeps")
@click.option("--format", "template", metavar="FORMAT", help="json, 'table TEMPLATE', or a Go template.")
@click.option("--no-trunc", is_flag=True, help="Show full IDs.")
@click.pass_obj
def du(settings: Settings, template: str | None, no_trunc: bool) -> None:
    """Show the layers, the directories of cache mounts and the git repositories that the build cache keeps, what was used
    last first. What is shared with an image or a container is not reclaimable.

    \b
    Examples:
      lamella builder du
      lamella builder du --format '{{.ID}} {{.Size}} {{.CacheType}} {{.Description}}'
    """
    from cli.output import print_rows
    from cli.wiring import open_store
    from core.units import human_size
    from store.cache import entries, kept

    with open_store(settings) as store:
        found, alone = [entry for entry in entries(store) if entry.diff_id or entry.mount], kept(store)
    print_rows([_row(entry, no_trunc) for entry in reversed(found)], HEADINGS, SHOWN, template)
    if not template:
        shared = sum({entry.diff_id: entry.size for entry in found if entry.shared}.values())
        for name, size in (("Shared", shared), ("Reclaimable", alone), ("Total", shared + alone)):
            click.echo(f"{name + ':':<13}{human_size(size, digits=4)}")


def _row(entry: Entry, full: bool) -> dict[str, Any]:
    from core.units import human_duration, human_size

    def since(instant: int) -> str:
        return human_duration((time.time_ns() - instant) / 1e9) + " ago"

    return {
        "ID": entry.key if full else entry.key[:12], "Size": human_size(entry.size),
        "Reclaimable": str(not entry.shared and not entry.in_use).lower(), "Shared": str(entry.shared).lower(),
        "InUse": str(entry.in_use).lower(), "CreatedSince": since(entry.created),
        "LastUsedSince": since(entry.last_used), "UsageCount": str(entry.uses),
        "CacheType": entry.kind, "Description": _DESCRIPTIONS.get(entry.kind, "").format(entry.mount),
    }  # fmt: skip


def mention_cache(store: Store) -> None:
    """Say on stderr what the build cache still keeps, where that is something."""
    from core.units import human_size
    from store.cache import kept

    if size := kept(store):
        click.echo(
            f"the build cache keeps another {human_size(size)} of layers; `lamella builder prune` frees them", err=True
        )
