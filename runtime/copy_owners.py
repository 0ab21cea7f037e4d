"""Owners of files on their way into and out of a running container whose users are not the machine's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

from core import idmaps
from core.errors import InvalidInput
from runtime.copy_items import Item
from runtime.looking_in import Root

Owner = tuple[int, int] | None
NOBODY = 65534  # what the kernel shows for who is not in a user namespace


def its_own(root: Root, items: Iterator[Item]) -> Iterator[Item]:
    """`items` that were seen from outside, with the owners that the container sees."""
    if not root.users:
        return items
    return (item._replace(uid=_inside(root.users, item.uid), gid=_inside(root.groups, item.gid)) for item in items)


def _inside(spans: Iterable[idmaps.Span], number: int) -> int:
    try:
        return idmaps.inside(spans, number)
    except KeyError:
        return NOBODY


@contextlib.contextmanager
def as_its_root(root: Root, owner: Owner) -> Iterator[tuple[Owner, Callable[[Iterable[Item]], Iterable[Item]]]]:
    """For the block, what this process, which must be the only thread, makes in the container is its root's; with who `owner`
    is there, seen from outside, and a function that says the same of items."""
    if not root.users:
        yield owner, lambda items: items
        return
    idmaps.be(*_outside(root, 0, 0))
    try:
        if owner:
            yield _outside(root, *owner), lambda items: items
        else:
            yield None, lambda items: (_placed(root, item) for item in items)
    finally:
        idmaps.be(os.geteuid(), os.getegid())


def _placed(root: Root, item: Item) -> Item:
    uid, gid = _outside(root, item.uid, item.gid)
    return item._replace(uid=uid, gid=gid)


def _outside(root: Root, uid: int, gid: int) -> tuple[int, int]:
    """Raises InvalidInput."""
    try:
        return idmaps.outside(root.users, uid), idmaps.outside(root.groups, gid)
    except KeyError as error:
        raise InvalidInput(
            f"the container has no user {uid} or no group {gid}: it has IDs of its own", "copy without -a"
        ) from error
