"""Untag against delete: Docker's rules, text for text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import NotFound
from image.digest import chain_id
from image.platform import Platform, host_platform
from images.remove import free, remove
from images.resolve import ImageNotFound
from images.rules import RemovalConflict
from images.tagging import tag
from store.holds import Hold
from store.images import Image
from store.store import Store

Make = Callable[..., Image]

Digests = Callable[[str], str]


def did(store: Store, name: str, *, force: bool = False, prune_parents: bool = True) -> list[str]:
    events = remove(store, name, force=force, prune_parents=prune_parents)
    return [f"{event.kind} {event.text}" for event in events]


def use(store: Store, image: Image, *, running: bool) -> None:
    store.holds.set(Hold("container", "c" * 64, "web", image.id, running))


def test_one_of_two_names_is_only_untagged(store: Store, make: Make) -> None:
    image = make("app", "second:1")
    assert did(store, "second:1") == ["untagged second:1"]
    assert store.images.get(image.id)


def test_the_last_name_takes_the_image_along(store: Store, make: Make) -> None:
    image = make("localhost:5000/app:1")
    assert did(store, "localhost:5000/app:1") == ["untagged localhost:5000/app:1", f"deleted {image.id}"]
    assert store.images.count() == 0 and free(store, []).bytes > 0


def test_the_last_tag_of_a_repository_takes_its_digests_along(store: Store, make: Make, digest: Digests) -> None:
    image = make("r.io/app:1", "r.io/app:2", digests=[f"r.io/app@{digest('m')}"])
    assert did(store, "r.io/app:1") == ["untagged r.io/app:1"]
    assert did(store, "r.io/app:2") == [
        "untagged r.io/app:2", f"untagged r.io/app@{digest('m')}", f"deleted {image.id}",
    ]  # fmt: skip


def test_a_digest_elsewhere_keeps_the_image(store: Store, make: Make, digest: Digests) -> None:
    make("app", digests=[f"r.io/other@{digest('m')}"])
    assert did(store, "app") == ["untagged app:latest"]
    assert did(store, f"r.io/other@{digest('m')}")[1].startswith("deleted")


def test_an_id_removes_all_of_one_name(store: Store, make: Make, digest: Digests) -> None:
    image = make("app:1", digests=[f"app@{digest('m')}"])
    assert did(store, image.id.short) == ["untagged app:1", f"untagged app@{digest('m')}", f"deleted {image.id}"]


def test_an_id_of_an_image_with_several_names_must_be_forced(store: Store, make: Make) -> None:
    image = make("app:1", "b:1")
    with pytest.raises(RemovalConflict) as caught:
        remove(store, image.id.short)
    short = image.id.short
    assert caught.value.message == (
        f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    )
    assert did(store, short, force=True) == ["untagged app:1", "untagged b:1", f"deleted {image.id}"]


def test_a_digest_of_another_repository_counts_as_a_name(store: Store, make: Make, digest: Digests) -> None:
    image = make("app", digests=[f"r.io/other@{digest('m')}"])
    with pytest.raises(RemovalConflict, match="multiple repositories"):
        remove(store, image.id.hex)


def test_the_beginning_of_the_id_is_an_id_even_where_it_is_a_name_too(store: Store, make: Make) -> None:
    image = make("app")
    tag(store, "app", image.id.hex[:8])
    with pytest.raises(RemovalConflict, match="multiple repositories"):
        remove(store, image.id.hex[:8])


@pytest.mark.parametrize("running", [False, True])
def test_the_last_name_of_an_image_in_use_must_be_forced(store: Store, make: Make, running: bool) -> None:
    image = make("app")
    use(store, image, running=running)
    with pytest.raises(RemovalConflict) as caught:
        remove(store, "app")
    assert caught.value.message == (
        'conflict: unable to remove repository reference "app" (must force) - container cccccccccccc is using'
        f" its referenced image {image.id.short}"
    )
    assert store.tags.of_image(image.id)


def test_another_name_of_an_image_in_use_goes(store: Store, make: Make) -> None:
    use(store, make("app", "other"), running=True)
    assert did(store, "other") == ["untagged other:latest"]


def test_by_force_a_running_containers_image_loses_its_name_and_stays(store: Store, make: Make) -> None:
    image = make("app")
    use(store, image, running=True)
    assert did(store, "app", force=True) == ["untagged app:latest"]
    assert store.images.get(image.id)
    with pytest.raises(RemovalConflict, match=r"cannot be forced.* running container cccccccccccc"):
        remove(store, image.id.hex, force=True)


def test_by_force_a_stopped_containers_image_goes(store: Store, make: Make) -> None:
    image = make("app")
    use(store, image, running=False)
    with pytest.raises(RemovalConflict, match=r"\(must be forced\) - image is being used by stopped container cccc"):
        remove(store, image.id.hex)
    assert did(store, "app", force=True) == ["untagged app:latest", f"deleted {image.id}"]
    free(store, [])
    assert store.layers.get(image.diff_ids[0]), "the container still needs its layers"


def test_a_parent_cannot_be_deleted_even_by_force(store: Store, make: Make) -> None:
    parent = make("parent")
    make("child", parent=parent)
    with pytest.raises(RemovalConflict, match=r"\(cannot be forced\) - image has dependent child images"):
        remove(store, parent.id.hex, force=True)
    assert did(store, "parent") == ["untagged parent:latest"]
    assert not list(store.images.dangling()), "an image that another depends on does not dangle"


def test_nameless_parents_go_with_their_last_child(store: Store, make: Make) -> None:
    grandparent = make()
    parent = make(parent=grandparent)
    one, two = make("one", parent=parent), make("two", parent=parent)
    assert did(store, "one") == ["untagged one:latest", f"deleted {one.id}"]
    assert did(store, "two") == ["untagged two:latest", *(f"deleted {i.id}" for i in (two, parent, grandparent))]


def test_parents_with_a_name_or_a_container_stay(store: Store, make: Make) -> None:
    named, held = make("named"), make()
    use(store, held, running=False)
    make("one", parent=named)
    make("two", parent=held)
    assert len(did(store, "one")) == 2 and len(did(store, "two")) == 2
    assert store.images.get(named.id) and store.images.get(held.id)


def test_parents_stay_when_asked_to(store: Store, make: Make) -> None:
    parent = make()
    make("child", parent=parent)
    assert len(did(store, "child", prune_parents=False)) == 2
    assert [image.id for image in store.images.dangling()] == [parent.id]


def test_each_image_is_followed_by_the_layers_that_went_with_it(store: Store, make: Make) -> None:
    parent = make()
    child = make("child", parent=parent)
    other = make("other")
    freed = free(store, remove(store, "child"))
    assert [event.text for event in freed.events] == [
        "child:latest", child.id, chain_id(child.diff_ids[:2]), parent.id, chain_id(child.diff_ids[:1]),
    ]  # fmt: skip
    assert freed.bytes > 0
    assert store.layers.get(other.diff_ids[0]) and not store.layers.get(child.diff_ids[0])


def test_layers_that_go_with_one_image_are_told_top_first(store: Store, make: Make) -> None:
    parent = make("base")
    child = make("child", parent=parent)
    events = [*remove(store, "base"), *remove(store, "child", prune_parents=False)]
    store.images.delete(parent.id)
    top, bottom = chain_id(child.diff_ids), chain_id(child.diff_ids[:1])
    assert [event.text for event in free(store, events).events][2:] == [child.id, top, bottom]


def test_an_image_for_another_platform_is_not_meant(store: Store, make: Make) -> None:
    make("app")
    with pytest.raises(NotFound, match=r"app was found but does not provide the specified platform \(linux/s390x\)"):
        remove(store, "app", platform=Platform.parse("linux/s390x"))
    assert len(remove(store, "app", platform=host_platform())) == 2


def test_what_is_missing_is_called_as_it_was_typed(store: Store) -> None:
    with pytest.raises(ImageNotFound, match=r"^no such image: nosuch$"):
        remove(store, "nosuch")


def test_a_refusal_changes_nothing(store: Store, make: Make) -> None:
    image = make("app:1", "b:1")
    with pytest.raises(RemovalConflict):
        remove(store, image.id.hex)
    assert len(store.tags.of_image(image.id)) == 2
