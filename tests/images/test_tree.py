"""Images as the branches of one tree, in which each layer is there once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from image.digest import DiffID
from images.filters import Filters
from images.listing import listing
from images.tree import Node, tree
from store.store import Store
from tests.suites.stock import add_image


def drawn(node: Node) -> str:
    """`ab:one(c:two d:three)`: layers, colon, images, and in brackets the branches."""
    letters = "".join(NAMES[diff_id] for diff_id in node.layers)
    images = ",".join(sorted(row.tags[0].path.removeprefix("library/") for row in node.images))
    below = " ".join(sorted(map(drawn, node.children)))
    return f"{letters}:{images}" + (f"({below})" if below else "")


NAMES = {DiffID.of(letter.encode()): letter for letter in "abcdefg"}
CASES = [
    ((), ":"),
    (("a",), ":(a:1)"),
    (("ab", "ab"), ":(ab:1,2)"),
    (("ab", "abc", "abd"), ":(ab:1(c:2 d:3))"),
    (("abc", "abd"), ":(ab:(c:1 d:2))"),
    (("abcd", "abce", "abf", "g"), ":(ab:(c:(d:1 e:2) f:3) g:4)"),
    (("abcd", "ab", "e"), ":(ab:2(cd:1) e:3)"),
    (("", "a"), ":1(a:2)"),
]


@pytest.mark.parametrize(("stacks", "shape"), CASES, ids=["+".join(stacks) or "none" for stacks, _ in CASES])
def test_what_images_share_is_drawn_once(store: Store, stacks: Sequence[str], shape: str) -> None:
    for number, stack in enumerate(stacks, 1):
        add_image(store, str(number), layers=list(stack), tags=[str(number)])
    assert drawn(tree(listing(store, Filters({})))) == shape
