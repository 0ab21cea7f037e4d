"""Volumes in the catalog and on the disk: made and removed whole, whoever is killed or comes at the same time."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from core.errors import Conflict, InvalidInput
from image.digest import Digest
from store.collect import collect
from store.holds import Hold
from store.store import Store
from store.volumes import ANONYMOUS, Volume, VolumeInUse, VolumeNotFound


def hold(store: Store, id: str, volume: str, *, own: bool = False) -> None:
    with store.transaction():
        store.holds.set(Hold("container", id, f"name-{id}", Digest.of(b"x"), True))
        store.volumes.hold(volume, "container", id, own=own)


def test_a_volume_is_a_row_and_a_directory(store: Store) -> None:
    made = store.volumes.add(Volume("data", labels={"a": "b"}))
    assert store.volumes.get("data") == made and made.created and not made.anonymous and made.plain
    assert store.volumes.path("data") == store.root / "volumes/data/_data"
    assert store.volumes.path("data").stat().st_mode & 0o7777 == 0o755
    assert (store.root / "volumes").stat().st_mode & 0o7777 == 0o700


def test_making_it_twice_gives_the_first(store: Store) -> None:
    store.volumes.add(Volume("data", labels={"a": "b"}))
    assert store.volumes.add(Volume("data", labels={"c": "d"})).labels == {"a": "b"}
    with pytest.raises(Conflict, match="create data: conflict: volume name must be unique"):
        store.volumes.add(Volume("data", "other"))


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "-x", "a b", "x\n", "ü1", "a" * 256, "../x"])
def test_names_are_dockers(store: Store, name: str) -> None:
    with pytest.raises(InvalidInput, match="includes invalid characters for a local volume name"):
        store.volumes.add(Volume(name))
    with pytest.raises(InvalidInput, match="too short"):
        store.volumes.add(Volume("a"))
    assert not (store.root / "volumes").exists()


def test_it_cannot_be_removed_while_a_container_has_it(store: Store) -> None:
    store.volumes.add(Volume("data"))
    hold(store, "c2", "data")
    hold(store, "c1", "data")
    with pytest.raises(VolumeInUse, match=r"remove data: volume is in use - \[c1, c2\]"):
        store.volumes.remove("data")
    for id in ("c1", "c2"):
        store.holds.delete("container", id)
    assert store.volumes.users("data") == []
    store.volumes.remove("data")
    with pytest.raises(VolumeNotFound):
        store.volumes.remove("data")


def test_removing_gives_the_disk_back(store: Store) -> None:
    store.volumes.add(Volume("data"))
    (store.volumes.path("data") / "file").write_bytes(b"x" * 100_000)
    store.volumes.remove("data")
    assert store.volumes.home("data").exists()  # until somebody sweeps
    assert store.volumes.sweep() >= 100_000 and not store.volumes.home("data").exists()
    assert store.volumes.sweep() == 0


def test_a_removal_that_was_killed_is_finished_by_collect(store: Store) -> None:
    store.volumes.add(Volume("data"))
    (store.volumes.path("data") / "file").write_bytes(b"x")
    store.volumes.remove("data")
    collect(store)
    assert not store.volumes.home("data").exists()


def test_a_new_volume_does_not_see_what_a_removed_one_had(store: Store) -> None:
    store.volumes.add(Volume("data"))
    (store.volumes.path("data") / "secret").write_bytes(b"x")
    store.volumes.remove("data")  # and is killed before it sweeps
    store.volumes.add(Volume("data"))
    store.volumes.sweep()
    collect(store, full=True)
    assert os.listdir(store.volumes.path("data")) == []


def test_a_creation_that_was_killed_leaves_what_the_next_full_collect_takes(store: Store) -> None:
    for name in ("empty", "emptier", "full"):
        (store.root / "volumes" / name / "_data").mkdir(parents=True)
    (store.root / "volumes/emptier/_data").rmdir()
    (store.root / "volumes/full/_data/file").write_bytes(b"x")
    collect(store)
    assert len(os.listdir(store.root / "volumes")) == 3
    collect(store, full=True)
    assert os.listdir(store.root / "volumes") == ["full"]  # nobody's data is thrown away


def test_strays_are_told_and_mended(store: Store) -> None:
    store.volumes.add(Volume("lost"))
    store.volumes.path("lost").rmdir()
    (store.root / "volumes/found/_data").mkdir(parents=True)
    (store.root / "volumes/b?d").mkdir()
    assert store.volumes.strays() == (["b?d", "found"], ["lost"])
    assert [store.volumes.adopt(name) for name in ("found", "lost", "b?d")] == [True, True, False]
    assert store.volumes.strays() == (["b?d"], [])
    assert store.volumes.get("found")


def test_who_made_it_and_who_only_has_it(store: Store) -> None:
    volume = store.volumes.add(Volume("a" * 64, labels={ANONYMOUS: ""}))
    hold(store, "c1", volume.name, own=True)
    hold(store, "c2", volume.name)
    assert volume.anonymous
    assert store.volumes.users(volume.name) == ["c1", "c2"]
    assert store.volumes.all(dangling=True) == [] and store.volumes.all(dangling=False) == [volume]


def test_images_mounted_into_a_container_are_let_go_with_it(store: Store) -> None:
    with store.transaction():
        store.holds.set(Hold("container", "c1", "one", Digest.of(b"x"), False))
        for id in ("c1.0", "c1.1", "c10.0"):
            store.holds.set(Hold("mounted", id, "one", Digest.of(b"y"), False))
    store.holds.set(Hold("container", "c1", "renamed", Digest.of(b"x"), True))
    assert [(h.id, h.name, h.running) for h in store.holds.of_image(Digest.of(b"y"))] == [
        ("c1.0", "renamed", True), ("c1.1", "renamed", True), ("c10.0", "one", False),
    ]  # fmt: skip
    store.holds.delete("container", "c1")
    assert [h.id for h in store.holds.all()] == ["c10.0"]


def test_completion_asks_for_a_beginning(store: Store) -> None:
    for name in ("web-1", "web-2", "db", "we%"[:2]):
        store.volumes.add(Volume(name))
    assert store.volumes.beginning("web", 10) == ["web-1", "web-2"] and len(store.volumes.beginning("", 2)) == 2


def _make(root: Path, name: str, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    with Store.open(root) as store:
        store.volumes.add(Volume(name))
        (store.volumes.path(name) / str(os.getpid())).touch()


def test_processes_that_make_the_same_volume_at_once_share_it(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(6)
    makers = [context.Process(target=_make, args=(store.root, "same", start)) for _ in range(6)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0] * 6
    assert len(os.listdir(store.volumes.path("same"))) == 6 and len(store.volumes.all()) == 1
