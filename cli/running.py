"""What `run` does; nothing here needs click (see `cli.quick`)."""

from __future__ import annotations

import os
import sys

from cli.container_flags import make_request, wants_networks
from cli.exit import ENGINE_FAILURE, leave
from cli.settings import Settings
from core.rootless import outer_uid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from cli.containers import Workshop
    from core.locks import FileLock
    from runtime.attach import Attachment, Manner
    from runtime.container import Container


def run(settings: Settings, flags: dict[str, Any]) -> int:
    """Create a container and run it as the flags say; its exit code."""
    from cli.creating import settle_flags

    settle_flags(settings, flags)
    if flags["rm"] and not flags["detach"] and not (joins(flags) or _may_be_left(settings, flags)):
        return _run_foreground(settings, flags)
    from cli.containers import Workshop
    from cli.creating import create_container

    request = make_request(flags, settings.environ, os.getcwd())
    manner = None if flags["detach"] else _manner(settings, flags)
    with Workshop(settings) as shop:
        container, lock = create_container(shop, request, flags, running=True)
        return run_monitored(shop, container, lock, manner)


def _may_be_left(settings: Settings, flags: dict[str, Any]) -> bool:
    """Whether the user may leave the container before it ends: by the detach keys, a Ctrl-C that is not passed on, or by
    joining its input alone. Where nothing can keep it then, it is run in the foreground all the same."""
    if not (flags["attach"] or not flags["sig_proxy"] or (flags["tty"] and flags["interactive"])):
        return False
    from core.errors import Unsupported
    from runtime.conmon import find_conmon
    from runtime.probe import choose
    from runtime.state import state_directory

    try:
        return bool(find_conmon() and choose(state_directory(settings.root)).path)
    except Unsupported:
        return False


def _manner(settings: Settings, flags: dict[str, Any]) -> Manner:
    from cli.container_flags import streams
    from cli.detach_keys import detach_keys
    from runtime.attach import STREAMS, Manner

    keys = detach_keys(settings, flags["detach_keys"]) if flags["tty"] else b""
    return Manner(streams(flags["attach"]) or STREAMS, keys, flags["sig_proxy"])


def joins(flags: dict[str, Any]) -> bool:
    """Whether it has namespaces that its keeper must know of before it is there: then conmon keeps it."""
    if flags["uidmap"] or flags["gidmap"] or flags["userns"] not in (None, "", "host"):
        return True
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
    keeper = Foreground(
        settings.root, state_directory(settings.root), lock, tty=flags["tty"], networks=wants_networks(flags)
    )
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
        from cli.seeing_to import supervise

        supervise(shop, container)
    code = keeper.run(shop.containers, container, lock)
    shop.sweep()
    shop.store.leases.close()
    leave(code)


def run_monitored(
    shop: Workshop, container: Container, lock: FileLock, manner: Manner | None, *, show_id: bool = True,
    by_hand: bool = True,
) -> int:  # fmt: skip
    """Start the container under conmon, and join it in that `manner`, if any; the exit code. `by_hand`: not by its supervisor."""
    from cli.itself import itself
    from runtime.attach import Attachment
    from runtime.conmon import create
    from runtime.probe import choose

    shop.sweep()
    if container.supervised and by_hand:
        from cli.seeing_to import supervise

        supervise(shop, container)
    on_exit = () if stays(container, manner) else itself(shop.settings, "container", "cleanup", container.id)
    try:
        monitored = create(shop.containers, container, lock, choose, shop.state, on_exit)
        attachment = Attachment(monitored, manner) if manner else None
        if manner:
            shop.containers.note(container, "attach")
        shop.containers.note(container, "start")  # as it does: one that ends at once has not died before
        monitored.start(shop.containers.directory(container))
    except BaseException as error:
        if container.supervised and by_hand:
            from runtime.supervision import dismiss

            dismiss(shop.containers.directory(container))
        lock.release()
        shop.containers.conclude(container, getattr(error, "exit_code", ENGINE_FAILURE))
        raise
    if show_id and (manner is None or set(manner.streams) == {"stdin"}):
        sys.stdout.write(f"{container.id}\n")
        sys.stdout.flush()
    if attachment is None:
        if "NOTIFY_SOCKET" in shop.settings.environ:
            from cli.notify import tell_systemd

            tell_systemd(shop.settings.environ, monitored.keeper)
        return 0
    return _stay(shop, container, attachment, monitored.keeper)


def stays(container: Container, manner: Manner | None) -> bool:
    """Whether this process is sure to be there when the container ends, and tells how it did."""
    if manner is None or container.auto_remove or container.restart or (container.ports and outer_uid()):
        return False
    left = not manner.signals or manner.streams == ("stdin",) or (container.tty and container.stdin_open)
    return not left


def _stay(shop: Workshop, container: Container, attachment: Attachment, keeper: int) -> int:
    from runtime.streams import wait

    if not attachment.run():
        shop.containers.note(container, "detach")
        return 0
    code = wait(keeper)
    if not container.restart:  # it may be running again
        shop.containers.conclude(container, code)
    return code
