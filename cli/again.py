"""`lamella container again`: what a supervisor executes."""

from __future__ import annotations

import click

from cli.exit import Exit
from cli.settings import Settings


@click.command(hidden=True)
@click.argument("id")
@click.pass_obj
def again(settings: Settings, id: str) -> None:
    """Start the container ID once more, as its restart policy asks for, unless somebody wants it no longer."""
    from cli.containers import Workshop
    from cli.running import run_monitored
    from core.rootless import remain
    from runtime.starting import turn
    from runtime.status import SUPERVISED

    with Workshop(settings) as shop:
        remain(shop.state)
        found = shop.containers.load(id)
        lock = turn(shop.containers, found) if found else None
        if found is None or lock is None:  # removed, or somebody was faster
            return
        try:
            if not (shop.containers.directory(found) / SUPERVISED).exists():  # stopped by hand
                return
            shop.containers.check(found)
            shop.containers.set_running(found, True)
            raise Exit(run_monitored(shop, found, lock, None, show_id=False, by_hand=False))
        finally:
            lock.release()
