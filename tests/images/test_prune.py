"""Pruning takes what nobody needs, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from core.errors import InvalidInput
from image.digest import chain_id
from images.filters import Filters
from images.foresight import foresee
from images.prune import FILTERS, prune
from store.collect import collect
from store.holds import Hold
from store.images import Image
from store.records import Record
from store.store import Store

Make = Callable[..., Image]


def pruned(store: Store, *filters: str, all_unused: bool = False) -> list[str]:
    done = prune(store, Filters.parse(filters, FILTERS), all_unused=all_unused)
    return [event.text for event in done.events]


def doomed(store: Store, *filters: str, all_unused: bool = False) -> list[str]:
    """The images that a prune would delete."""
    found = foresee(store, Filters.parse(filters, FILTERS), all_unused=all_unused)
    return [one.image.id for one in found.verdicts if one.action == "delete"]


def left(store: Store) -> set[Image]:
    return set(store.images.all())


def test_only_dangling_images_go(store: Store, make: Make) -> None:
    named, loose = make("app"), make()
    parent = make()
    child = make("child", parent=parent)
    assert loose.id in pruned(store)
    assert left(store) == {named, parent, child}


def test_parents_that_dangle_afterwards_go_too(store: Store, make: Make) -> None:
    parent = make()
    child = make(parent=parent)
    assert pruned(store)[::2] == [child.id, parent.id]
    assert not left(store) and not list(store.layers.all())


def test_what_it_gives_back_is_told(store: Store, make: Make) -> None:
    make()
    done = prune(store, Filters({}))
    assert done.reclaimed >= 4096
    assert prune(store, Filters({})).reclaimed == 0


def test_an_image_in_use_stays_with_all_its_names(store: Store, make: Make) -> None:
    used, loose = make("app", "b"), make()
    for image in (used, loose):
        store.holds.set(Hold("container", image.id.hex, "web", image.id, False))
    assert pruned(store, all_unused=True) == []
    assert len(store.tags.of_image(used.id)) == 2


def test_what_a_living_build_looks_at_stays(store: Store, make: Make) -> None:
    image = make()
    with store.leases.take("build") as lease:
        lease.hold_image(image.id)
        assert pruned(store) == []
    assert image.id in pruned(store)


@pytest.mark.parametrize("words", [{"all_unused": True}, {"filters": ("dangling=false",)}])
def test_all_takes_named_images_too(store: Store, make: Make, words: dict[str, object]) -> None:
    parent = make("base")
    child = make("child:1", "child:2", parent=parent)
    filters = words.pop("filters", ())
    texts = pruned(store, *filters, **words)  # type: ignore[misc, arg-type]
    assert [text for text in texts if text not in (chain_id(child.diff_ids), parent.diff_ids[0])] == [
        "child:1", "child:2", child.id, "base:latest", parent.id,
    ]  # fmt: skip
    assert len(texts) == 7 and not left(store)


def test_filters_choose(store: Store, make: Make) -> None:
    old = make(created=1_000)
    kept = make(labels={"keep": "yes"})
    test = make(labels={"stage": "test"})
    assert doomed(store, "until=1970-01-02") == [old.id]
    assert doomed(store, "until=2000") == [old.id]
    assert doomed(store, "until=24h", "label=stage") == [test.id]
    assert pruned(store, "label=stage=prod") == []
    assert set(doomed(store, "label!=keep")) == {old.id, test.id}
    assert doomed(store, "label!=keep=no", "label=keep") == [kept.id]


def test_what_was_not_used_for_long_is_chosen_by_use_and_not_by_age(store: Store, make: Make) -> None:
    old, young = make(created=1_000), make()
    with store.transaction() as connection:
        connection.execute("UPDATE images SET last_used = 1 WHERE id = ?", (young.id,))
    assert doomed(store, "unused-for=24h") == [young.id]
    store.images.touch(young.id)
    assert doomed(store, "unused-for=24h") == [] and set(doomed(store)) == {old.id, young.id}


def said(store: Store, **options: bool) -> dict[str, tuple[str, str]]:
    return {one.image.id: (one.action, one.why) for one in foresee(store, Filters({}), **options).verdicts}


def test_a_dry_run_says_of_every_image_why_it_goes_or_stays(store: Store, make: Make) -> None:
    base, parent, loose, named, used, leased = make("base"), make(), make(), make("app"), make(), make()
    child = make("child", parent=base)
    orphan = make(parent=parent)
    store.holds.set(Hold("container", "c" * 64, "web", used.id, True))
    with store.leases.take("build") as lease:
        lease.hold_image(leased.id)
        assert said(store) == {
            base.id: ("keep", "it has a name"), child.id: ("keep", "it has a name"), named.id: ("keep", "it has a name"),
            loose.id: ("delete", "it has no name, and no image was built on it"),
            orphan.id: ("delete", "it has no name, and no image was built on it"),
            parent.id: ("delete", "nothing else was built on it"), used.id: ("keep", "container web uses it"),
            leased.id: ("keep", "a command that is running now uses it"),
        }  # fmt: skip
    assert said(store, all_unused=True)[named.id] == ("delete", "no container uses it")
    store.holds.set(Hold("container", "d" * 64, "job", child.id, False))
    every = said(store, all_unused=True)
    assert every[child.id] == ("keep", "container job uses it")
    assert every[base.id] == ("untag", f"{child.id.short} was built on it")


@pytest.mark.parametrize("all_unused", [False, True])
def test_a_dry_run_changes_nothing_and_knows_what_the_disk_gets_back(
    store: Store, make: Make, all_unused: bool
) -> None:
    base = make("base")
    make("one", parent=base)
    make(parent=base)
    collect(store)
    found = foresee(store, Filters({}), all_unused=all_unused)
    assert left(store) == {one.image for one in found.verdicts} and len(left(store)) == 3
    assert 0 < found.reclaimable == sum(one.bytes for one in found.verdicts)
    assert prune(store, Filters({}), all_unused=all_unused).reclaimed == found.reclaimable
    assert foresee(store, Filters({}), all_unused=all_unused).reclaimable == 0


def test_a_shared_layer_is_counted_with_the_last_image_that_goes(store: Store, make: Make) -> None:
    base = make()
    one, two = make(parent=base), make(parent=base)
    sizes = {v.image.id: v.bytes for v in foresee(store, Filters({})).verdicts}
    assert sizes[one.id] == sizes[two.id] == sizes[base.id] > 0


def test_what_the_build_cache_keeps_is_told_and_not_counted(store: Store, make: Make) -> None:
    image = make()
    store.records.add(Record("aa", image.diff_ids[0], b"{}", 0, 0))
    (verdict,) = foresee(store, Filters({})).verdicts
    assert verdict.cached == 2560 and 0 < verdict.bytes < 4096 * 3
    assert prune(store, Filters({})).reclaimed == verdict.bytes and store.layers.get(image.diff_ids[0])


def test_prunes_side_by_side_take_each_image_once(store: Store, make: Make) -> None:
    images = [make() for _ in range(20)]
    taken: list[str] = []

    def work() -> None:
        with Store.open(store.root, sync=False) as mine:
            taken.extend(event.text for event in prune(mine, Filters({})).events)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {image.id for image in images}
    assert sorted(ids.intersection(taken)) == sorted(text for text in taken if text in ids) == sorted(ids)
    assert not left(store) and not list(store.layers.all())


@pytest.mark.parametrize("text", ["before=x", "dangling=perhaps", "until=yesterday", "label"])
def test_a_filter_that_makes_no_sense_is_refused(store: Store, text: str) -> None:
    with pytest.raises(InvalidInput):
        pruned(store, text)
