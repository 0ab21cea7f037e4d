"""`lamella system prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.filters import Filters
    from store.store import Store

FILTERS = frozenset({"until", "label", "label!"})


@click.command(short_help="Remove containers, images and build cache that nobody needs")
@click.option("-a", "--all", "everything", is_flag=True, help="All images that no container uses, and all build cache.")
@click.option("--volumes", is_flag=True, help="Also anonymous volumes that no container has.")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]."
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(settings: Settings, everything: bool, volumes: bool, filters: tuple[str, ...], force: bool) -> None:
    """Remove the containers that do not run, the networks that none is on, then (with --volumes) the anonymous volumes that no container has, then the
    dangling images, then the build cache that no image uses, and whatever
    killed commands left behind. With -a all images that no container uses and all build cache.

    \b
    Examples:
      lamella system prune
      lamella system prune -af --filter until=24h
    """
    from cli.image_prune import answered_yes
    from images.filters import Filters

    wanted = Filters.parse(filters, FILTERS)
    if volumes and wanted.get("until"):
        raise InvalidInput('the "until" filter is not supported with "--volumes"', "give only one of them")
    with_cache = not (wanted.get("label") or wanted.get("label!"))  # cache has no labels
    if not force and not answered_yes(_warning(everything, volumes, with_cache, filters)):
        return
    _prune(settings, everything, volumes, filters, wanted, with_cache)


def _warning(everything: bool, volumes: bool, with_cache: bool, filters: tuple[str, ...]) -> str:
    from cli.image_prune import REMOVED
    from cli.volume_prune import GOING

    going = [
        "all stopped containers",
        "all networks not used by at least one container",
        *([f"all {GOING[False]}"] if volumes else []),
        REMOVED[everything],
    ]
    if with_cache:
        going.append("all build cache" if everything else "all dangling build cache")
    text = "WARNING! This will remove:\n" + "".join(f"  - {what}\n" for what in going)
    if filters:
        text += "\n  Items to be pruned will be filtered with:\n" + "".join(f"  - {one}\n" for one in filters)
    return text + "\n"


def _prune_networks(settings: Settings, store: Store, filters: tuple[str, ...]) -> str:
    """What went, in Docker's words. A store that has never had a network is not given tables for them now."""
    if not store.database.read().execute("SELECT 1 FROM sqlite_master WHERE name = 'networks'").fetchone():
        return ""
    from cli.network_rm import deleted_text, prune_networks

    return deleted_text(prune_networks(settings, filters))


def _prune_volumes(store: Store, wanted: Filters) -> int:
    from cli.volume_prune import accepting, say_deleted
    from runtime.volume_verbs import prune as prune_volumes

    labels = {key: list(wanted.get(key)) for key in ("label", "label!")}
    pruned = prune_volumes(store, accepting(labels), everything=False)
    say_deleted(pruned.names)
    return pruned.bytes


def _prune(
    settings: Settings, everything: bool, volumes: bool, filters: tuple[str, ...], wanted: Filters, with_cache: bool
) -> None:
    from cli.builder import mention_cache, say_cache
    from cli.container_prune import deleted_text, prune_containers
    from cli.image_prune import say_deleted, say_total, sweep_held
    from cli.prune_filters import prune_filter
    from cli.rmi import sweep_containers
    from cli.wiring import open_store
    from images.prune import prune as prune_images
    from runtime.forgotten import remove_forgotten
    from runtime.state import state_directory
    from store.cache import prune as prune_cache
    from store.collect import collect

    with open_store(settings, making_room=True) as store:
        removed: list[str] = []
        reclaimed = 0
        sweep_held(settings, store)
        if any(True for _ in store.holds.all()):
            removed, reclaimed = prune_containers(settings, prune_filter(filters))
            sweep_containers(settings)
        click.echo(deleted_text(removed), nl=False)
        click.echo(_prune_networks(settings, store, filters), nl=False)
        if volumes:
            reclaimed += _prune_volumes(store, wanted)
        images = prune_images(store, wanted, all_unused=everything)
        say_deleted(images.events)
        reclaimed += images.reclaimed
        if with_cache:
            cache = prune_cache(store, everything=everything, before=wanted.until())
            say_cache(cache.entries)
            reclaimed += cache.reclaimed
        say_total(reclaimed + collect(store, full=True).bytes)
        mention_cache(store)
    remove_forgotten(state_directory(settings.root), settings.root)
