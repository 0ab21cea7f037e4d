"""What the flags of `update` make of a container's record, and of what runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cli.container_table import LIMITS
from cli.flags import parameter
from cli.limit_flags import limits
from core.errors import InvalidInput
from core.value import replace
from runtime.limit_checks import settle
from runtime.limits import Limits
from runtime.probe import installed
from runtime.restart import parse
from runtime.updating import apply_limits

if TYPE_CHECKING:
    from cli.containers import Workshop
    from runtime.container import Container


def change(shop: Workshop, container: Container, flags: Mapping[str, Any]) -> None:
    """Change the record at one instant, then what runs. Raises InvalidInput for limits that contradict each other."""
    wanted = limits({parameter(names): _nothing(options) for names, options in LIMITS} | dict(flags))
    policy = parse(flags["restart"]) if flags["restart"] is not None else container.restart
    if policy and container.auto_remove:
        raise InvalidInput("Restart policy cannot be updated because AutoRemove is enabled for the container")
    warnings: list[str] = []

    def changed(now: Container) -> Container:
        if wanted is not None:
            kept, said = settle(_over(now.limits or Limits(), wanted), able=bool(installed()))
            warnings.extend(said)
            now = replace(now, limits=None if kept == Limits() else kept)
        return now if flags["restart"] is None else replace(now, restart=policy)

    after = shop.containers.change(container, changed)
    if _seen_to(after) != _seen_to(container):
        _supervise(shop, after)
    if after.limits and after.limits != container.limits and shop.containers.status(container).running:
        warnings += apply_limits(shop.containers, container, shop.state, after.limits)
    shop.containers.note(after, "update")
    for text in warnings:
        sys.stderr.write(f"WARNING: {text}\n")


def _seen_to(container: Container) -> tuple[bool, bool]:
    """Whether somebody is to see to it, and whether that has to start it again."""
    return container.supervised, bool(container.restart)


def _supervise(shop: Workshop, container: Container) -> None:
    """Another one is to see to it from now on, or nobody any more, if it runs."""
    from cli.seeing_to import supervise
    from runtime.supervision import dismiss

    status = shop.containers.status(container)
    if status.running and container.supervised:
        supervise(shop, container, status)
    elif status.running:
        dismiss(shop.containers.directory(container))


def _nothing(options: Mapping[str, Any]) -> Any:
    return () if options.get("multiple") else False if options.get("is_flag") else None


def _over(old: Limits, wanted: Limits) -> Limits:
    """`old` with what was asked for; a new memory limit takes a swap limit along that was made for the old one."""
    given = {name: getattr(wanted, name) for name in Limits._fields if getattr(wanted, name) != getattr(Limits(), name)}
    return replace(old, **given)
