"""From what a user types to an image."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import InvalidInput, NotFound
from image.config import ImageConfig
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.media_types import OCI_INDEX
from image.platform import host_platform
from image.reference import Reference
from images.publish import publish
from images.resolve import AmbiguousId, ImageNotFound, resolve, resolve_named
from images.tagging import tag
from store.images import Image
from store.store import Store

Make = Callable[..., Image]


def test_an_image_is_found_by_every_name_it_has(store: Store, make: Make, digest: Callable[[str], str]) -> None:
    image = make("app", "localhost:5000/team/app:1.0", digests=[f"app@{digest('m')}"])
    names = (
        image.id, image.id.hex, image.id.short, image.id.hex[:1], f"sha256:{image.id.hex[:8]}", "app", "app:latest",
        "docker.io/library/app", "localhost:5000/team/app:1.0", f"app@{digest('m')}", f"app:gone@{digest('m')}",
    )  # fmt: skip
    assert [resolve(store, name).id for name in names] == [image.id] * len(names)


def test_a_name_goes_before_the_beginning_of_an_id(store: Store, make: Make) -> None:
    image, other = make("one"), make("two")
    tag(store, "two", image.id.hex[:6])
    assert resolve(store, image.id.hex[:6]).id == other.id


def test_what_led_to_the_image_is_told(store: Store, make: Make) -> None:
    image = make("app")
    assert resolve_named(store, "app")[1] == Reference.parse("app:latest")
    assert resolve_named(store, image.id.short)[1] is None


@pytest.mark.parametrize("name", ["nosuch", "app:nosuch", "f" * 64, "sha256:" + "f" * 64, f"app@sha256:{'f' * 64}"])
def test_an_unknown_image_is_named(store: Store, make: Make, name: str) -> None:
    make("app")
    with pytest.raises(ImageNotFound, match="no such image: " + name[:20]):
        resolve(store, name)


def test_several_ids_with_one_beginning_are_ambiguous(store: Store, make: Make) -> None:
    first: dict[str, int] = {}
    for _ in range(17):
        image = make()
        first[image.id.hex[0]] = first.get(image.id.hex[0], 0) + 1
    twice = next(digit for digit, count in first.items() if count > 1)
    with pytest.raises(AmbiguousId):
        resolve(store, twice)


def test_a_malformed_name_says_what_is_wrong(store: Store) -> None:
    with pytest.raises(InvalidInput, match="lowercase"):
        resolve(store, "App")


def test_a_tag_moves_and_the_image_it_left_dangles(store: Store, make: Make) -> None:
    old, new = make("app"), make("new")
    tag(store, "new", "app")
    assert resolve(store, "app").id == new.id
    assert [image.id for image in store.images.dangling()] == [old.id]


def test_another_name_of_an_index_is_a_name_of_the_index(
    store: Store, make: Make, digest: Callable[[str], str]
) -> None:
    image = make("app")
    index = Descriptor(OCI_INDEX, Digest.parse(digest("an index")), 8)
    store.tags.set(Reference.parse("multi:1"), image.id, index)
    tag(store, "multi:1", "copy:1")
    tag(store, image.id, "plain:1")
    targets = [store.tags.get(Reference.parse(name)) for name in ("copy:1", "plain:1")]
    assert [found.target for found in targets if found] == [index, image.manifest]


def test_a_name_with_a_digest_cannot_be_given(store: Store, make: Make, digest: Callable[[str], str]) -> None:
    make("app")
    with pytest.raises(InvalidInput, match="digest"):
        tag(store, "app", f"app@{digest('x')}")


def test_publishing_twice_changes_nothing_but_the_tags(store: Store, make: Make) -> None:
    image = make("app")
    again = publish(store, store.images.config(image.id), tags=[Reference.parse("second")], parent=None)
    assert again.id == image.id and store.images.count() == 1
    assert [t.reference.familiar for t in store.tags.of_image(image.id)] == ["app:latest", "second:latest"]


def test_an_image_whose_layer_is_not_here_is_not_published(store: Store) -> None:
    config = ImageConfig(host_platform(), diff_ids=(DiffID.of(b"gone"),))
    with pytest.raises(NotFound, match="no such layer"):
        publish(store, config, tags=[Reference.parse("app")], parent=None)
    assert store.images.count() == 0
