"""`lamella stats`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.completion import complete_running
from cli.settings import Settings

if TYPE_CHECKING:
    from cli.containers import Workshop
    from runtime.container import Container
    from runtime.stats import Sample

    Samples = dict[str, Sample | None]

INTERVAL = 1.0  # seconds
HEADINGS = {
    "Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}  # fmt: skip
SHOWN = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_CLEAR = "\033[2J\033[H"
_BY_PROCESSES = "lamella: no cgroup here: these are the figures of the processes that are alive, from /proc\n"


@click.command(short_help="Show what containers use")
@click.argument("names", nargs=-1, metavar="[CONTAINER]...", shell_complete=complete_running)
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run.")
@click.option("--no-stream", is_flag=True, help="Show it once, and end.")
@click.option("--no-trunc", is_flag=True, help="Do not cut IDs short.")
@click.option(
    "--format", "template", metavar="TEMPLATE", help="json, or a Go template such as '{{.Name}} {{.CPUPerc}}'."
)
@click.pass_obj
def stats(
    settings: Settings, names: tuple[str, ...], everything: bool, no_stream: bool, no_trunc: bool, template: str | None
) -> None:
    """Show what containers use of the machine, again every second: all that run, or those named.

    Where a container has no cgroup of its own, this is what the processes in it use that are alive.

    \b
    Examples:
      lamella stats
      lamella stats --no-stream --format json web
    """
    from cli.containers import Workshop
    from cli.output import print_rows, write

    with Workshop(settings) as shop:
        shop.sweep()
        before = _look(shop, _chosen(shop, names, everything))
        clear = _CLEAR if sys.stdout.isatty() and not no_stream else ""
        first = True
        while True:
            time.sleep(INTERVAL)
            found = _chosen(shop, names, everything)
            now = _look(shop, found)
            write(clear)
            print_rows([_row(c, now[c.id], before.get(c.id), no_trunc) for c in found], HEADINGS, SHOWN, template)
            if (clear or first) and any(one and not one.cgroup for one in now.values()):
                sys.stderr.write(_BY_PROCESSES)
            before, first = now, False
            if no_stream:
                return


def _chosen(shop: Workshop, names: Sequence[str], everything: bool) -> list[Container]:
    if names:
        return [shop.containers.find(name) for name in names]
    return [one for one in shop.containers.all() if everything or shop.containers.status(one).running]


def _look(shop: Workshop, found: Sequence[Container]) -> Samples:
    from runtime.stats import sample

    return {container.id: sample(shop.containers, container, shop.state) for container in found}


def _row(container: Container, now: Sample | None, before: Sample | None, no_trunc: bool) -> dict[str, Any]:
    from core.units import human_size

    id = container.id if no_trunc else container.short_id
    named = {"Container": id, "ID": id, "Name": container.name}
    if now is None:
        nothing = {"CPUPerc": "0.00%", "MemUsage": "0B / 0B", "MemPerc": "0.00%", "PIDs": "0"}
        return {**named, **nothing, "NetIO": "0B / 0B", "BlockIO": "0B / 0B"}
    return {
        **named,
        "CPUPerc": f"{now.cpu_percent(before) if before else 0:.2f}%",
        "MemUsage": f"{human_size(now.memory, binary=True, digits=4)} / {human_size(now.limit, binary=True, digits=4)}",
        "MemPerc": f"{now.memory_percent:.2f}%",
        "NetIO": f"{human_size(now.received)} / {human_size(now.sent)}",
        "BlockIO": f"{human_size(now.read)} / {human_size(now.written)}",
        "PIDs": str(now.pids),
    }
