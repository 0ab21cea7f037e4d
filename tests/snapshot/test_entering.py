"""A good layer takes the place of a damaged one, under whoever has the damaged one mounted."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core import syscalls
from image.digest import DiffID
from snapshot.entering import enter
from store.collect import collect
from store.holds import Hold, HoldKind
from store.layers import Layer
from store.quarantine import LayerInUse
from store.store import Store
from tests.suites.images import store
from tests.suites.stock import add_image, add_layer

__all__ = ["store"]


def newcomer(store: Store, layer: Layer) -> Layer:
    """The same layer once more, in a directory of its own."""
    place = store.layer_path("newcomer")
    place.mkdir()
    (place / "file").write_text("good")
    return Layer(layer.diff_id, place.name, layer.size, "packed", 1)


def content(store: Store, name: str) -> str:
    return (store.layer_path(name) / "file").read_text()


def test_a_twin_that_is_whole_wins(store: Store) -> None:
    layer = add_layer(store, "one")
    assert enter(store, newcomer(store, layer)) == (layer, False)


def test_a_damaged_one_gives_its_name_away(store: Store) -> None:
    layer = add_layer(store, "one")
    store.quarantine.add(layer, "bad")
    found, stays = enter(store, newcomer(store, layer))
    assert (found.directory, found.damaged, stays) == (layer.directory, None, True)
    assert content(store, layer.directory) == "good" and content(store, "newcomer") == "one" * 100


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("can", [True, False])
def test_with_and_without_one_step_and_with_nothing_to_change_with(
    store: Store, monkeypatch: pytest.MonkeyPatch, missing: bool, can: bool
) -> None:
    def cannot(one: Path, other: Path) -> None:
        raise OSError(errno.EINVAL, "this file system cannot")

    if not can:
        monkeypatch.setattr(syscalls, "exchange", cannot)
    layer = add_layer(store, "one")
    if missing:
        store.layer_path(layer.directory).rename(store.root / "elsewhere")
    store.quarantine.add(layer, "bad")
    enter(store, newcomer(store, layer))
    assert content(store, layer.directory) == "good"
    assert sorted(os.listdir(store.root / "layers")) == sorted([layer.directory] + ["newcomer"] * (not missing))


def test_what_was_damaged_stays_as_long_as_somebody_may_have_it_mounted(store: Store) -> None:
    layer = add_layer(store, "one")
    add_image(store, "image", layers=["one"])
    store.quarantine.add(layer, "bad")
    build = store.leases.take("build")
    build.hold_layer(layer.diff_id)
    enter(store, newcomer(store, layer))
    store.leases.close()
    for _ in range(2):
        collect(store, full=True)
        assert content(store, "newcomer") == "one" * 100
    build.release()
    collect(store)
    assert os.listdir(store.root / "layers") == [layer.directory] and content(store, layer.directory) == "good"


@pytest.mark.parametrize(("kind", "running", "refused"), [
    ("container", True, True), ("mount", True, True), ("container", False, False), ("build", True, False),
])  # fmt: skip
def test_below_what_runs_nothing_is_replaced(store: Store, kind: HoldKind, running: bool, refused: bool) -> None:
    layer, image = add_layer(store, "one"), add_image(store, "image", layers=["one"])
    store.holds.set(Hold(kind, "id", "web", image.id, running))
    store.quarantine.add(layer, "bad")
    good = newcomer(store, layer)
    if not refused:
        assert enter(store, good)[1]
        return
    with pytest.raises(LayerInUse, match=f"{kind} web is using it"):
        enter(store, good)
    assert content(store, layer.directory) == "one" * 100 and content(store, "newcomer") == "good"


def test_undone_in_between_it_is_whole_and_said_to_be_damaged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = add_layer(store, "one")
    store.quarantine.add(layer, "bad")

    def killed(layer: Layer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.quarantine, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        enter(store, newcomer(store, layer))
    row = store.layers.get(layer.diff_id)
    assert row and row.damaged == "bad" and content(store, layer.directory) == "good"


def note(store: Store, layer: Layer, change: Callable[[Layer], object]) -> str | None:
    change(layer)
    found = store.layers.get(layer.diff_id)
    return found.damaged if found else "gone"


def test_what_was_read_before_it_was_replaced_says_nothing_of_the_new_one(store: Store) -> None:
    layer = add_layer(store, "one")
    assert note(store, layer, lambda one: store.quarantine.add(one, "bad")) == "bad"
    assert note(store, layer, lambda one: store.quarantine.add(one, "worse")) == "bad"
    damaged = store.layers.get(layer.diff_id)
    assert damaged and [one.reason for one in store.quarantine.all()] == ["bad"]
    assert not store.quarantine.lift(layer) and store.quarantine.lift(damaged)
    assert note(store, damaged, lambda one: store.quarantine.add(one, "bad")) is None
    assert not store.quarantine.lift(damaged)


def test_a_layer_that_is_gone_is_in_no_quarantine(store: Store) -> None:
    store.quarantine.add(Layer(DiffID.of(b"?"), "x", 0, "packed", 1), "bad")
    assert not list(store.quarantine.all())
