"""`lamella system df -v`: each image, container and piece of cache with its bytes of disk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings
    from images.usage import Usage
    from store.store import Store

Rows = list[dict[str, Any]]

IMAGES = {
    "Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "CreatedSince": "CREATED", "Size": "SIZE",
    "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE", "Containers": "CONTAINERS",
}  # fmt: skip
CONTAINERS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "LocalVolumes": "LOCAL VOLUMES", "Size": "SIZE",
    "RunningFor": "CREATED", "Status": "STATUS", "Names": "NAMES",
}  # fmt: skip
VOLUMES = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
CACHE = {
    "ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED", "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE", "Shared": "SHARED",
}  # fmt: skip
REST = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}


def show(settings: Settings, used: Usage, template: str | None) -> None:
    """Write the tables, or one JSON object for the template `json`. Raises InvalidInput for another template."""
    from cli.output import render, write
    from cli.system_df import row
    from cli.wiring import open_store

    if template not in (None, "json"):
        raise InvalidInput("system df -v has no rows for a template", "use --format json, or leave -v away")
    with open_store(settings) as store:
        images, cache, volumes = list(_images(store, used)), list(_cache(store, used)), list(_volumes(store, used))
    containers = _containers(settings, used)
    rest = [row(part) for part in used.parts[4:]]
    if template:
        objects = {"Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": cache, "Other": rest}
        return write(render("json", {**objects, "Total": used.total}) + "\n")
    _table("Images space usage:", IMAGES, images)
    _table("Containers space usage:", CONTAINERS, containers)
    _table("Local Volumes space usage:", VOLUMES, volumes)
    _table(f"Build cache usage: {_size(used.parts[3].size)}", CACHE, cache)
    _table("Other space usage:", REST, rest)
    return write(f"Total: {used.total} bytes, {_size(used.total)}, in {settings.root}\n")


def _table(title: str, headings: dict[str, str], rows: Rows) -> None:
    from cli.output import print_rows

    click.echo(f"{title}\n")
    print_rows(rows, headings, list(headings))
    click.echo()


def _size(size: int) -> str:
    from core.units import human_size

    return human_size(size, digits=4)


def _since(nanoseconds: int) -> str:
    from core.units import human_duration

    return human_duration((time.time_ns() - nanoseconds) / 1e9) + " ago"


def _images(store: Store, used: Usage) -> Iterator[dict[str, Any]]:
    from cli.images import NONE
    from images.filters import Filters
    from images.listing import listing

    users = Counter(diff_id for image in store.images.all() for diff_id in set(image.diff_ids))
    holders = Counter(hold.image for hold in store.holds.all() if hold.kind == "container")
    for listed in listing(store, Filters({}), all_images=True):
        mine = set(listed.image.diff_ids)
        unique = sum(used.layers.get(diff_id, 0) for diff_id in mine if users[diff_id] == 1)
        shared = sum(used.layers.get(diff_id, 0) for diff_id in mine if users[diff_id] > 1)
        names: Sequence[tuple[str, str]] = [(name.familiar_repository, name.tag or NONE) for name in listed.tags]
        for repository, tag in names or [(NONE, NONE)]:
            yield {
                "Repository": repository, "Tag": tag, "ID": listed.image.id.short,
                "CreatedSince": _since(listed.image.created), "Size": _size(shared + unique), "SharedSize": _size(shared),
                "UniqueSize": _size(unique), "Containers": str(holders[listed.image.id]),
            }  # fmt: skip


def _containers(settings: Settings, used: Usage) -> Rows:
    if not used.containers:
        return []
    from cli.containers import Workshop
    from cli.ps_listing import row

    with Workshop(settings) as shop:
        return [
            {name: value for name, value in row(shop, one, shop.containers.status(one), True, False).items() if name in CONTAINERS}
            | {"Size": _size(used.containers.get(one.id, 0))}
            for one in shop.containers.all()
        ]  # fmt: skip


def _volumes(store: Store, used: Usage) -> Iterator[dict[str, Any]]:
    for name in sorted(used.volumes):
        yield {"Name": name, "Links": str(len(store.volumes.users(name))), "Size": _size(used.volumes[name])}


def _cache(store: Store, used: Usage) -> Iterator[dict[str, Any]]:
    from store.cache import entries

    for entry in reversed(entries(store)):
        if entry.diff_id or entry.mount:
            size = used.layers.get(entry.diff_id, 0) if entry.diff_id else entry.size
            yield {
                "ID": entry.key[:12], "CacheType": entry.kind, "Size": _size(size),
                "CreatedSince": _since(entry.created), "LastUsedSince": _since(entry.last_used),
                "UsageCount": str(entry.uses), "Shared": str(entry.shared).lower(),
            }  # fmt: skip
