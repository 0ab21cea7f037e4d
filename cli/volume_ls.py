"""`lamella volume ls`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from cli.spelling import DockerCommand
from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings
    from store.store import Store
    from store.volumes import Volume

HEADINGS = {
    "Availability": "AVAILABILITY", "Driver": "DRIVER", "Group": "GROUP", "Labels": "LABELS", "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT", "Name": "VOLUME NAME", "Scope": "SCOPE", "Size": "SIZE", "Status": "STATUS",
}  # fmt: skip
SHOWN = ("Driver", "Name")
FILTERS = ("dangling", "driver", "label", "name")


@click.command(cls=DockerCommand, short_help="List volumes")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE",
    help="dangling=true|false, driver=NAME, label=KEY[=VALUE], name=PART.",
)  # fmt: skip
@click.option("--format", "template", metavar="FORMAT", help="json, 'table TEMPLATE', or a Go template.")
@click.option("-q", "--quiet", is_flag=True, help="Print only names.")
@click.pass_obj
def ls(settings: Settings, filters: tuple[str, ...], template: str | None, quiet: bool) -> None:
    """List volumes by name. `dangling=true` are those that no container has.

    \b
    Examples:
      lamella volume ls -f dangling=true
      lamella volume ls --format '{{.Name}}: {{.Mountpoint}}'
    """
    from cli.output import print_rows
    from cli.wiring import open_store

    wanted = parse_filters(filters, FILTERS)
    with open_store(settings) as store:
        found = sorted(chosen(store, wanted), key=lambda volume: _natural(volume.name))
        if quiet and not template:
            for volume in found:
                click.echo(volume.name)
            return
        print_rows([row(store, volume) for volume in found], HEADINGS, SHOWN, template)


def parse_filters(texts: tuple[str, ...], known: tuple[str, ...]) -> dict[str, list[str]]:
    """The values of each key. Raises InvalidInput."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(
                f'invalid argument "{text}" for "-f, --filter" flag: bad format of filter (expected name=value)'
            )
        key = key.strip().lower()
        if key not in known:
            raise InvalidInput(f"invalid filter '{key}'", f"the filters are {', '.join(known)}")
        found.setdefault(key, []).append(value.strip())
    return found


def chosen(store: Store, wanted: dict[str, list[str]]) -> list[Volume]:
    """The volumes that pass all filters: of names and drivers one value is enough, labels must all be there."""
    from runtime.volume_verbs import all_volumes

    return [
        volume for volume in all_volumes(store, dangling=truth("dangling", wanted["dangling"]) if "dangling" in wanted else None)
        if ("name" not in wanted or any(part in volume.name for part in wanted["name"]))
        and ("driver" not in wanted or volume.driver in wanted["driver"])
        and all(has_label(volume, label) for label in wanted.get("label", ()))
    ]  # fmt: skip


def truth(key: str, values: list[str]) -> bool:
    """The one truth value that was given. Raises InvalidInput."""
    words = {"true": True, "1": True, "false": False, "0": False}
    found = {words.get(value.lower()) for value in values}
    if len(found) != 1 or None in found:
        raise InvalidInput(f"invalid filter '{key}=[{' '.join(values)}]'", "use true or false")
    return bool(found.pop())


def has_label(volume: Volume, text: str) -> bool:
    """Whether it has the label `KEY` or `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    labels = volume.labels or {}
    return key in labels and (not equals or labels[key] == value)


def row(store: Store, volume: Volume) -> dict[str, Any]:
    """The fields of one volume, by Docker's names."""
    from cli.output import labels_text
    from runtime.volume_verbs import place

    labels = volume.labels or {}
    return {
        "Availability": "N/A", "Driver": volume.driver, "Group": "N/A", "Label": lambda key: labels.get(key, ""),
        "Labels": labels_text(labels), "Links": "N/A", "Mountpoint": place(store, volume), "Name": volume.name,
        "Scope": "local", "Size": "N/A", "Status": "N/A",
    }  # fmt: skip


def _natural(name: str) -> list[tuple[int, int | str]]:
    """So that `v2` comes before `v10`."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
