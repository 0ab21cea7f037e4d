"""`lamella images`, also `lamella image ls`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.completion import complete_images

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.listing import Listed

NONE = "<none>"
MANY_NAMES = 3
HEADINGS = {
    "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS", "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE", "LastUsed": "LAST USED",
}  # fmt: skip


@click.command(short_help="List images")
@click.argument("repository", required=False, metavar="[REPOSITORY[:TAG]]", shell_complete=complete_images)
@click.option("-a", "--all", "all_images", is_flag=True, help="Also images without a name that others were built on.")
@click.option("--digests", is_flag=True, help="Show digests.")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE",
    help="dangling=true|false, label=KEY[=VALUE], reference=GLOB, before=IMAGE, since=IMAGE, until=TIME, unused-for=TIME.",
)  # fmt: skip
@click.option("--format", "template", metavar="FORMAT", help="json, 'table TEMPLATE', or a Go template.")
@click.option("--last-used", is_flag=True, help="Show when each was last pulled, built, built on or run.")
@click.option("--tree", is_flag=True, help="Show which images share which layers.")
@click.option("--no-trunc", is_flag=True, help="Show full IDs.")
@click.option("-q", "--quiet", is_flag=True, help="Print only IDs.")
@click.pass_obj
def images(
    settings: Settings, repository: str | None, all_images: bool, digests: bool, filters: tuple[str, ...],
    template: str | None, last_used: bool, tree: bool, no_trunc: bool, quiet: bool,
) -> None:  # fmt: skip
    """List images, the newest first.

    \b
    Examples:
      lamella images
      lamella images localhost:5000/team/app
      lamella images -q --filter dangling=true
      lamella images --format '{{.Repository}}:{{.Tag}} {{.Size}}'
      lamella images --last-used --filter unused-for=720h
      lamella images --tree
    """
    from cli.output import print_rows
    from cli.wiring import open_store
    from images.filters import Filters
    from images.listing import FILTERS, listing

    shown = ["Repository", "Tag", *(["Digest"] if digests else []), "ID", "CreatedSince", "Size"]
    with open_store(settings) as store:
        found = listing(store, Filters.parse(filters, FILTERS), name=repository, all_images=all_images)
        if tree:
            from cli.image_tree import print_tree

            print_tree(store, found, template, no_trunc=no_trunc)
        else:
            rows = (row for listed in found for row in _rows(listed, digests, no_trunc))
            print_rows(rows, HEADINGS, [*shown, *(["LastUsed"] if last_used else [])], template, quiet=quiet)


def some_names(names: Sequence[str]) -> str:
    """An image's names for a cell of a table: the first few."""
    more = f" and {len(names) - MANY_NAMES} more" if len(names) > MANY_NAMES else ""
    return ", ".join(names[:MANY_NAMES]) + more or NONE


def _rows(listed: Listed, digests: bool, no_trunc: bool) -> Iterator[dict[str, Any]]:
    """One row a name; a digest alone where the repository has no tag; `<none>` where there is no name at all."""
    common = _common(listed, no_trunc)
    by_repository: dict[str, list[str]] = {}
    for reference in listed.digests:
        by_repository.setdefault(reference.familiar_repository, []).append(str(reference.digest))
    tagged = {tag.familiar_repository for tag in listed.tags}
    for tag in listed.tags:
        known = by_repository.get(tag.familiar_repository, [NONE]) if digests else [NONE]
        for digest in known:
            yield {"Repository": tag.familiar_repository, "Tag": tag.tag, "Digest": digest, **common}
    for repository, known in by_repository.items():
        if repository not in tagged:
            for digest in known if digests else [NONE]:
                yield {"Repository": repository, "Tag": NONE, "Digest": digest, **common}
    if not listed.tags and not listed.digests:
        yield {"Repository": NONE, "Tag": NONE, "Digest": NONE, **common}


def _common(listed: Listed, no_trunc: bool) -> dict[str, str]:
    from core.units import human_duration, human_size

    image = listed.image
    created = image.created / 1e9
    return {
        "ID": str(image.id) if no_trunc else image.id.short,
        "CreatedSince": human_duration(time.time() - created) + " ago",
        "LastUsed": human_duration(time.time() - image.last_used / 1e9) + " ago" if image.last_used else "never",
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created)),
        "Size": human_size(image.size), "VirtualSize": human_size(image.size, digits=4),
        "Containers": "N/A", "SharedSize": "N/A", "UniqueSize": "N/A",
    }  # fmt: skip
