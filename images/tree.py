"""Which images share which layers: images as the branches of one tree, in which every layer is there once."""

from __future__ import annotations

from collections.abc import Iterable

from image.digest import DiffID
from images.listing import Listed


class Node:
    """`layers` come on top of the parent's, bottom first. `images` consist of exactly the layers from the root to here;
    a node without any is where images part ways."""

    def __init__(self, depth: int, layers: tuple[DiffID, ...]) -> None:
        self.depth = depth
        self.layers = layers
        self.images: list[Listed] = []
        self.children: list[Node] = []


def tree(found: Iterable[Listed]) -> Node:
    """The root, which has no layers of its own, of the tree of these images."""
    root = Node(0, ())
    path, before = [root], ()  # type: tuple[list[Node], tuple[DiffID, ...]]
    for listed in sorted(found, key=lambda listed: listed.image.diff_ids):
        stack = listed.image.diff_ids
        _part(path, _common(before, stack))
        if len(stack) > path[-1].depth:
            node = Node(len(stack), stack[path[-1].depth :])
            path[-1].children.append(node)
            path.append(node)
        path[-1].images.append(listed)
        before = stack
    return root


def _part(path: list[Node], depth: int) -> None:
    """Shorten `path` to the node at `depth`; where there is none the one above it is cut in two there."""
    last: Node | None = None
    while path[-1].depth > depth:
        last = path.pop()
    if last is None or path[-1].depth == depth:
        return
    upper = Node(depth, last.layers[: depth - path[-1].depth])
    last.layers = last.layers[len(upper.layers) :]
    upper.children.append(last)
    path[-1].children[-1] = upper
    path.append(upper)


def _common(one: tuple[DiffID, ...], other: tuple[DiffID, ...]) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length
