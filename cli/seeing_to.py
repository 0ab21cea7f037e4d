"""Who sees to a container with a health check or a restart policy: systemd's timer, or a supervisor.

A timer where systemd runs the machine and nothing but a health check is wanted: it asks, and nothing waits meanwhile. A
restart policy has to notice the end of a keeper that somebody killed, for which something has to wait beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.itself import itself, supervisor
from core.locks import is_locked
from runtime.status import Status, read_status
from runtime.supervision import adopt, dismiss, enroll, entrust, is_timed

if TYPE_CHECKING:
    from cli.containers import Workshop
    from cli.settings import Settings
    from runtime.container import Container


def supervise(shop: Workshop, container: Container, status: Status | None = None) -> None:
    """See to it that somebody sees to the container, which is just being started by hand, or runs and has this `status`.

    To be called before the start has forked.
    """
    from runtime.restart import forget_restarts

    directory = shop.containers.directory(container)
    forget_restarts(directory)
    if not container.restart and _has_timers():
        entrust(directory)
        if keep_time(shop.settings, directory, container, status or Status("created")):
            return
    enroll(directory).hand_to(supervisor(shop.settings, container.id))


def _has_timers() -> bool:
    from runtime.timers import find

    return find() is not None


def keep_time(settings: Settings, directory: Path, container: Container, status: Status) -> bool:
    """Let a timer be there that checks the container, whose run has this `status`; False where systemd takes none."""
    from runtime import timers

    command = itself(settings, "container", "check", container.id)
    return container.health is not None and timers.keep_time(directory, container.health, status, command)


def look_after(shop: Workshop, directory: Path) -> None:
    """Whoever is to see to the container in `directory` may have been lost: replace it, or let go of what has ended."""
    if not is_timed(directory):
        marker = adopt(directory)
        if marker:
            marker.hand_to(supervisor(shop.settings, directory.name))
        return
    container, status = shop.containers.load(directory.name), read_status(directory)
    if container and status.running:
        if not keep_time(shop.settings, directory, container, status):
            enroll(directory).hand_to(supervisor(shop.settings, directory.name))
    elif not is_locked(directory / "state"):
        dismiss(directory)
