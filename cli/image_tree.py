"""`lamella images --tree`: which images share which layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput

if TYPE_CHECKING:
    from image.digest import DiffID
    from images.listing import Listed
    from images.tree import Node
    from store.store import Store

Sizes = Mapping["DiffID", int]


def print_tree(store: Store, found: Iterable[Listed], template: str | None, *, no_trunc: bool) -> None:
    """Write the tree of the images that `found` lists: text, or nested objects for the template `json`.

    Raises InvalidInput for any other template.
    """
    from cli.output import write
    from images.tree import tree

    if template not in (None, "json"):
        raise InvalidInput("--tree has no rows for a template", "use --format json, or leave --format away")
    root = tree(found)
    sizes = store.layers.sizes(diff_id for node, _ in _walk(root) for diff_id in node.layers)
    if template:
        import json

        write(json.dumps(_objects(root, sizes), ensure_ascii=False) + "\n")
    else:
        write("".join(_lines(root, sizes, no_trunc)))


def _walk(root: Node) -> Iterator[tuple[Node, tuple[bool, ...]]]:
    """Every node below `root` after its parent, with whether each of its line of ancestors and itself was the last child."""
    waiting: list[tuple[Node, tuple[bool, ...]]] = [(root, ())]
    while waiting:
        node, lasts = waiting.pop()
        if node is not root or node.images:
            yield node, lasts
        children = node.children
        waiting += [(child, (*lasts, child is children[-1])) for child in reversed(children)]


def _lines(root: Node, sizes: Sizes, no_trunc: bool) -> Iterator[str]:
    from cli.output import table

    rows = [["IMAGE", "IMAGE ID", "LAYERS", "ADDS", "SIZE"]]
    for node, lasts in _walk(root):
        branch = "".join("   " if last else "│  " for last in lasts[1:-1])
        branch += ("└─ " if lasts[-1] else "├─ ") if len(lasts) > 1 else ""
        rows += _node_rows(node, branch, sizes, no_trunc)
    yield table(rows)


def _node_rows(node: Node, branch: str, sizes: Sizes, no_trunc: bool) -> list[list[str]]:
    from cli.images import some_names
    from core.units import human_size

    adds = [f"+{len(node.layers)}", human_size(sum(sizes.get(d, 0) for d in node.layers))]
    if not node.images:
        return [[f"{branch}(shared)", "", *adds, ""]]
    below = " " * len(branch)
    return [
        [
            (branch if number == 0 else below) + some_names([name.familiar for name in listed.tags or listed.digests]),
            str(listed.image.id) if no_trunc else listed.image.id.short,
            *(adds if number == 0 else ["+0", "0B"]),
            human_size(listed.image.size),
        ]
        for number, listed in enumerate(node.images)
    ]


def _objects(root: Node, sizes: Sizes) -> list[dict[str, Any]]:
    made: dict[int, dict[str, Any]] = {}
    for node, _ in _walk(root):
        made[id(node)] = {
            "Layers": list(map(str, node.layers)),
            "Size": sum(sizes.get(diff_id, 0) for diff_id in node.layers),
            "Images": [
                {
                    "ID": str(one.image.id),
                    "Names": [r.familiar for r in (*one.tags, *one.digests)],
                    "Size": one.image.size,
                }
                for one in node.images
            ],
            "Children": [],
        }
    for node in [root, *(node for node, _ in _walk(root))]:
        if id(node) in made:
            made[id(node)]["Children"] = [made[id(child)] for child in node.children]
    return [made[id(child)] for child in root.children] + ([made[id(root)]] if root.images else [])
