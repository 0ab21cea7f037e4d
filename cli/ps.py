"""`lamella ps`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from cli.settings import Settings

if TYPE_CHECKING:
    from cli.containers import Workshop
    from runtime.attached import Attached
    from runtime.container import Container
    from runtime.status import Status

HEADINGS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
    "Status": "STATUS", "Ports": "PORTS", "Names": "NAMES", "Size": "SIZE", "Labels": "LABELS", "State": "STATE",
    "Mounts": "MOUNTS", "Networks": "NETWORKS", "LocalVolumes": "LOCAL VOLUMES", "Platform": "PLATFORM",
}  # fmt: skip
SHOWN = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


@click.command(short_help="List containers")
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run.")
@click.option("-q", "--quiet", is_flag=True, help="Only IDs.")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Such as status=exited, name=web, label=a=b."
)
@click.option("--format", "template", metavar="TEMPLATE", help="json, or a Go template such as '{{.Names}}'.")
@click.option("--no-trunc", is_flag=True, help="Do not cut anything short.")
@click.option("-n", "--last", type=int, default=-1, metavar="N", help="The N newest, in any state.")
@click.option("-l", "--latest", is_flag=True, help="The newest, in any state.")
@click.option("-s", "--size", is_flag=True, help="What each has written.")
@click.pass_obj
def ps(
    settings: Settings, everything: bool, quiet: bool, filters: tuple[str, ...], template: str | None, no_trunc: bool,
    last: int, latest: bool, size: bool,
) -> None:  # fmt: skip
    """List containers.

    \b
    Examples:
      lamella ps -a
      lamella ps --filter status=exited --format '{{.Names}}: {{.Status}}'
      lamella rm $(lamella ps -aq -f status=exited)
    """
    from cli.containers import Workshop
    from cli.output import print_rows
    from cli.ps_filters import Filters
    from runtime.attached import Attached

    count = 1 if latest else last
    with Workshop(settings) as shop:
        shop.sweep()
        chosen = Filters.parse(filters, shop)
        every = [(container, shop.containers.status(container)) for container in shop.containers.all()]
        shown = everything or count > 0 or chosen.wants_stopped
        found = [(c, s) for c, s in every if (shown or s.running or s.state == "restarting") and chosen.accept(c, s)]
        found = found[:count] if count > 0 else found
        if quiet and not template:
            for container, _ in found:
                click.echo(container.id if no_trunc else container.short_id)
            return
        columns = (*SHOWN, "Size") if size else SHOWN
        with_size = size or "Size" in (template or "")
        attached = Attached(shop.store.root)
        rows = [row(shop, c, s, not no_trunc, with_size) | networks(attached, c) for c, s in found]
        print_rows(rows, HEADINGS, columns, template)


def row(shop: Workshop, container: Container, status: Status, cut: bool, size: bool) -> dict[str, Any]:
    """The fields of one container, by Docker's names."""
    from cli.output import ellipsis, labels_text
    from core.clock import parse_instant
    from core.units import human_duration

    created = parse_instant(container.created)
    command = " ".join(container.command)
    mounts = [mount.name or mount.source for mount in container.mounts if mount.kind != "tmpfs"]
    return {
        "Command": json.dumps(ellipsis(command, 20) if cut else command, ensure_ascii=False),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(created / 10**9)),
        "ID": container.short_id if cut else container.id,
        "Image": container.image_name,
        "Label": lambda key: container.labels.get(key, ""),
        "Labels": labels_text(container.labels),
        "LocalVolumes": str(sum(mount.driver == "local" for mount in container.mounts)),
        "Mounts": ",".join(ellipsis(path, 15) if cut else path for path in mounts),
        "Names": container.name,
        "Networks": container.network,
        "Platform": "",
        "Ports": "",
        "RunningFor": human_duration((time.time_ns() - created) / 10**9) + " ago",
        "Size": _size(shop, container) if size else "0B",
        "State": status.state,
        "Status": status_text(status, health_of(shop, container, status)),
    }


def health_of(shop: Workshop, container: Container, status: Status) -> str:
    """starting, healthy or unhealthy; none where nobody asks it."""
    if not (container.health and container.health.command) or not status.started:
        return "none"
    from runtime.health import read_record

    return read_record(shop.containers.directory(container), status).status


def networks(attached: Attached, container: Container) -> dict[str, str]:
    """The fields that tell of its networks and ports."""
    if container.net is None:
        return {}
    return {"Networks": ",".join(attached.names(container)), "Ports": attached.shown_ports(container)}


def status_text(status: Status, health: str = "none") -> str:
    """`Up 3 seconds`, `Up 3 seconds (healthy)`, `Exited (0) 2 minutes ago`, `Restarting (1) 2 seconds ago`, `Created`."""
    from core.units import human_duration

    def since(instant: int) -> str:
        return human_duration((time.time_ns() - instant) / 10**9)

    if status.running:
        shown = {"none": "", "starting": " (health: starting)"}.get(health, f" ({health})")
        return f"Up {since(status.started)}" + (" (Paused)" if status.paused else shown)
    if status.state == "restarting":
        return f"Restarting ({status.exit_code}) {since(status.finished)} ago"
    if status.state == "exited":
        return f"Exited ({status.exit_code}) {since(status.finished)} ago"
    return "Created"


def _size(shop: Workshop, container: Container) -> str:
    """What it has written, and with its image: `12kB (virtual 4.3MB)`."""
    from core.units import human_size
    from image.digest import Digest
    from runtime.size import written

    image = shop.store.images.get(Digest(container.image))
    own = written(shop.containers, container)
    return f"{human_size(own)} (virtual {human_size(own + (image.size if image else 0))})"
