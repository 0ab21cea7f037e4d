"""What `run` does; nothing here needs click (see `cli.quick`)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from cli.container_flags import make_request, wants_networks
from cli.exit import ENGINE_FAILURE, leave
from cli.settings import Settings

if TYPE_CHECKING:
    from cli.containers import Workshop
    from core.locks import FileLock
    from runtime.container import Container


def run(settings: Settings, flags: dict[str, Any]) -> int:
    """Create a container and run it as the flags say; its exit code."""
    from cli.creating import check_flags

    check_flags(flags)
    if flags["rm"] and not flags["detach"] and not joins(flags):
        return _run_foreground(settings, flags)
    from cli.containers import Workshop
    from cli.creating import create_container

    request = make_request(flags, settings.environ, os.getcwd())
    with Workshop(settings) as shop:
        container, lock = create_container(shop, request, flags, running=True)
        return run_monitored(shop, container, lock, attached=not flags["detach"])


def joins(flags: dict[str, Any]) -> bool:
    """Whether it shares namespaces that its keeper must know of before it is there: then conmon keeps it."""
    return flags["pid"] not in (None, "", "private") or (flags["ipc"] or "").startswith("container:")


def _run_foreground(settings: Settings, flags: dict[str, Any]) -> NoReturn:
    """The hot path: the keeper is on its way before the request is even read."""
    from runtime.foreground import Foreground
    from runtime.placing import give_up, place
    from runtime.state import state_directory

    if not os.path.exists(settings.root / "containers"):
        from cli.wiring import open_store

        open_store(settings).close()
    id, lock = place(settings.root)
    keeper = Foreground(settings.root, state_directory(settings.root), tty=flags["tty"], networks=wants_networks(flags))
    try:
        from cli.containers import Workshop
        from cli.creating import create_container

        request = make_request(flags, settings.environ, os.getcwd())
        shop = Workshop(settings)
        container, _ = create_container(shop, request, flags, running=True, where=(id, lock))
    except BaseException:
        keeper.abandon()
        give_up(settings.root, id, lock)
        raise
    if container.supervised:
        supervise(shop, container)
    code = keeper.run(shop.containers, container, lock)
    shop.sweep()
    shop.store.leases.close()
    leave(code)


def run_monitored(
    shop: Workshop, container: Container, lock: FileLock, *, attached: bool, show_id: bool = True, by_hand: bool = True
) -> int:
    """Start the container under conmon, and stay with it if `attached`; the exit code. `by_hand`: not by its supervisor."""
    from cli.itself import itself
    from runtime.attach import Attachment
    from runtime.conmon import create
    from runtime.probe import choose

    shop.sweep()
    if container.supervised and by_hand:
        supervise(shop, container)
    told = not attached or container.auto_remove or container.restart  # else we tell ourselves how it ended
    on_exit = itself(shop.settings, "container", "cleanup", container.id) if told else ()
    try:
        monitored = create(shop.containers, container, lock, choose, shop.state, on_exit)
        attachment = Attachment(monitored) if attached else None
        if attached:
            shop.containers.note(container, "attach")
        shop.containers.note(container, "start")  # as it does: one that ends at once has not died before
        monitored.start(shop.containers.directory(container))
    except BaseException as error:
        if container.supervised and by_hand:
            _unsupervise(shop, container)
        lock.release()
        shop.containers.conclude(container, getattr(error, "exit_code", ENGINE_FAILURE))
        raise
    if attachment is None:
        if "NOTIFY_SOCKET" in shop.settings.environ:
            from cli.notify import tell_systemd

            tell_systemd(shop.settings.environ, monitored.keeper)
        if show_id:
            sys.stdout.write(f"{container.id}\n")
        return 0
    return _stay(shop, container, attachment, monitored.keeper)


def _stay(shop: Workshop, container: Container, attachment: Any, keeper: int) -> int:
    from runtime.streams import wait

    if not attachment.run():
        return 0
    code = wait(keeper)
    if not container.restart:  # it may be running again
        shop.containers.conclude(container, code)
    return code


def supervise(shop: Workshop, container: Container) -> None:
    """Give the container, which is just being started by hand, a supervisor. To be called before the start has forked."""
    from cli.itself import supervisor
    from runtime.restart import forget_restarts
    from runtime.supervision import enroll

    directory = shop.containers.directory(container)
    forget_restarts(directory)
    enroll(directory).hand_to(supervisor(shop.settings, container.id))


def _unsupervise(shop: Workshop, container: Container) -> None:
    from runtime.supervision import dismiss

    dismiss(shop.containers.directory(container))
