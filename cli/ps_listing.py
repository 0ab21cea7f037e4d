"""What `ps` does; nothing here needs click (see `cli.quick`)."""

from __future__ import annotations

import sys
import time

from cli.settings import Settings
from core import plain_json as json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


def list_containers(settings: Settings, flags: dict[str, Any]) -> None:
    """Print the containers that the flags of `ps` ask for."""
    from cli.containers import Workshop
    from cli.output import print_rows
    from cli.ps_filters import Filters
    from runtime.attached import Attached

    count = 1 if flags["latest"] else flags["last"]
    template, whole, size = flags["template"], flags["no_trunc"], flags["size"]
    with Workshop(settings) as shop:
        shop.sweep()
        chosen = Filters.parse(flags["filters"], shop)
        every = [(container, shop.containers.status(container)) for container in shop.containers.all()]
        shown = flags["everything"] or count > 0 or chosen.wants_stopped
        found = [(c, s) for c, s in every if (shown or s.running or s.state == "restarting") and chosen.accept(c, s)]
        found = found[:count] if count > 0 else found
        if flags["quiet"] and not template:
            for container, _ in found:
                sys.stdout.write(f"{container.id if whole else container.short_id}\n")
            return
        columns = (*SHOWN, "Size") if size else SHOWN
        with_size = size or "Size" in (template or "")
        attached = Attached(shop.store.root)
        rows = [row(shop, c, s, not whole, with_size) | networks(attached, c) for c, s in found]
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
