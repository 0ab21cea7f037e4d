"""Pruning takes what nobody needs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import InvalidInput
from images.filters import Filters
from images.prune import FILTERS, prune
from store.holds import Hold
from store.images import Image
from store.store import Store

Make = Callable[..., Image]


def pruned(store: Store, *filters: str, all_unused: bool = False, dry_run: bool = False) -> list[str]:
    done = prune(store, Filters.parse(filters, FILTERS), all_unused=all_unused, dry_run=dry_run)
    return [event.text for event in done.events]


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
    assert pruned(store)[:2] == [child.id, parent.id]
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
    assert texts[:5] == ["child:1", "child:2", child.id, "base:latest", parent.id] and not left(store)


def test_filters_choose(store: Store, make: Make) -> None:
    old = make(created=1_000)
    kept = make(labels={"keep": "yes"})
    test = make(labels={"stage": "test"})
    assert pruned(store, "until=1970-01-02", dry_run=True) == [old.id]
    assert pruned(store, "until=2000", dry_run=True) == [old.id]
    assert pruned(store, "until=24h", "label=stage", dry_run=True) == [test.id]
    assert pruned(store, "label=stage=prod") == []
    assert set(pruned(store, "label!=keep", dry_run=True)) == {old.id, test.id}
    assert pruned(store, "label!=keep=no", "label=keep", dry_run=True) == [kept.id]


def test_a_dry_run_changes_nothing(store: Store, make: Make) -> None:
    image = make()
    done = prune(store, Filters({}), dry_run=True)
    assert done.events[0].text == image.id and done.reclaimed > 0
    assert left(store) == {image}


@pytest.mark.parametrize("text", ["before=x", "dangling=perhaps", "until=yesterday", "label"])
def test_a_filter_that_makes_no_sense_is_refused(store: Store, text: str) -> None:
    with pytest.raises(InvalidInput):
        pruned(store, text)
