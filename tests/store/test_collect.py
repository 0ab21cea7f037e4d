"""Collect frees what nobody needs, all of it, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from image.descriptor import Descriptor
from image.digest import Digest
from image.reference import Reference
from store.collect import SWEPT, collect
from store.holds import Hold
from store.images import Image
from store.leases import Held
from store.records import Record
from store.store import Store
from store.temporary import Claim
from tests.conftest import ROOT
from tests.suites.stock import add_image, add_layer

NAME = Reference.parse("one").tagged()


def on_disk(store: Store) -> tuple[set[str], set[Digest]]:
    return set(os.listdir(store.root / "layers")), set(store.blobs.walk())


@pytest.fixture
def image(store: Store) -> Image:
    """An image that only its tag keeps; nothing else does, not even the lease of the process that made it."""
    image = add_image(store, "one", tags=["one"])
    store.leases.close()
    return image


def untag(store: Store, image: Image) -> None:
    store.tags.delete(NAME)
    store.images.delete(image.id)


def test_an_image_that_goes_takes_everything_along(store: Store, image: Image) -> None:
    untag(store, image)
    done = collect(store)
    assert done.layers == list(image.diff_ids)
    assert set(done.blobs) == {image.id, image.manifest.digest}
    assert on_disk(store) == (set(), set())


def test_the_bytes_reported_are_those_that_the_disk_gives_back(store: Store, image: Image) -> None:
    (directory,) = (store.root / "layers").iterdir()
    (directory / "large").write_bytes(b"x" * 1_000_000)
    os.link(directory / "large", directory / "again")
    with (directory / "hole").open("wb") as file:
        file.truncate(1 << 40)
    used = sum(int(line.split()[0]) for line in subprocess.check_output(["du", "-B1", "-s", directory]).splitlines())
    blobs = sum(os.stat(store.blobs.path(d)).st_blocks * 512 for d in store.blobs.walk())
    untag(store, image)
    assert collect(store).bytes == used + blobs


def test_a_second_collect_finds_nothing(store: Store, image: Image) -> None:
    untag(store, image)
    collect(store)
    assert collect(store).bytes == 0
    assert store.database.read().execute("SELECT count(*) FROM garbage").fetchone()[0] == 0
    assert os.listdir(store.root / "tmp") == os.listdir(store.root / "locks") == []


def test_layers_that_others_share_stay(store: Store) -> None:
    one = add_image(store, "one", layers=["shared", "own"], tags=["one"])
    two = add_image(store, "two", layers=["shared"], tags=["two"])
    store.leases.close()
    untag(store, one)
    assert collect(store).layers == [one.diff_ids[1]]
    assert store.layers.get(two.diff_ids[0])


def test_the_index_that_a_tag_points_to_stays_as_long_as_the_tag(store: Store, image: Image) -> None:
    index = store.blobs.add(b"index")
    store.tags.set(NAME, image.id, Descriptor("index", index, 5))
    store.tags.add_digest(NAME.with_digest(index), image.id)
    store.leases.close()
    collect(store, full=True)
    assert store.blobs.stat(index)
    store.tags.set(NAME, image.id, image.manifest)
    collect(store)
    assert store.blobs.stat(index)
    store.tags.delete_digest(NAME.with_digest(index))
    assert collect(store).blobs == [index]


def test_the_blob_of_a_foreign_layer_goes_with_it_and_not_before(store: Store) -> None:
    blob = store.blobs.add(b"compressed")
    add_layer(store, "foreign", blob=Descriptor("gzip", blob, 10))
    image = add_image(store, "one", layers=["foreign"], tags=["one"])
    store.leases.close()
    assert collect(store, full=True).blobs == []
    untag(store, image)
    assert blob in collect(store).blobs


def by_hold(store: Store, image: Image) -> Callable[[], object]:
    store.holds.set(Hold("container", "c", "web", image.id, False))
    return lambda: store.holds.delete("container", "c")


def by_lease(store: Store, image: Image) -> Callable[[], object]:
    lease = store.leases.take("test")
    lease.hold_image(image.id)
    return lease.release


def by_record(store: Store, image: Image) -> Callable[[], object]:
    store.records.add(Record("00", image.diff_ids[0], b"", 0, 0))
    return lambda: store.records.delete("00")


@pytest.mark.parametrize("keep", [by_hold, by_lease, by_record])
@pytest.mark.parametrize("full", [False, True], ids=["what changed", "everything"])
def test_a_layer_stays_while_somebody_keeps_it(
    store: Store, image: Image, keep: Callable[[Store, Image], Callable[[], object]], full: bool
) -> None:
    let_go = keep(store, image)
    untag(store, image)
    assert collect(store, full=full).layers == []
    assert len(os.listdir(store.root / "layers")) == 1
    assert (store.blobs.stat(image.id) is not None) == (keep is not by_record)
    let_go()
    assert collect(store, full=full).layers == list(image.diff_ids)
    assert on_disk(store) == (set(), set())


def test_what_a_process_writes_is_its_own_until_it_closes_the_store(store: Store, store_root: Path) -> None:
    with Store.open(store_root, sync=False) as other:
        digest = other.blobs.add(b"fresh")
        assert Held("blob", digest) in store.leases.live()
        assert collect(store, full=True).blobs == []
    assert collect(store).blobs == [digest]


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


DYING = """
import os, sys; from pathlib import Path; from store.store import Store; from image.digest import Digest
store = Store.open(Path(sys.argv[1])); store.blobs.add(b"left behind")
lease = store.leases.take("test"); lease.hold_image(Digest(sys.argv[2])); os.kill(os.getpid(), 9)
"""


def test_the_leases_of_the_dead_keep_nothing(store: Store, image: Image) -> None:
    assert run(DYING, store.root, image.id).returncode == -9
    assert os.listdir(store.root / "locks") and not store.leases.live() and not store.leases.holds_image(image.id)
    untag(store, image)
    done = collect(store)
    assert done.layers == list(image.diff_ids) and len(done.blobs) == 3
    assert os.listdir(store.root / "locks") == [] and on_disk(store) == (set(), set())


def test_a_claimed_directory_stays_until_its_maker_dies(store: Store) -> None:
    claim = Claim(store.root, *store.temporaries.directory())
    (claim.home / "diff").mkdir()
    name = claim.place(claim.home / "diff")
    collect(store, full=True)
    assert os.listdir(store.root / "layers") == [name]
    os.close(claim._fd)  # type: ignore[arg-type]
    collect(store)
    assert os.listdir(store.root / "layers") == os.listdir(store.root / "tmp") == []


def test_a_claim_left_beside_its_row_costs_the_layer_nothing(store: Store, image: Image) -> None:
    layer = store.layers.get(image.diff_ids[0])
    assert layer
    (store.root / "tmp" / layer.directory).mkdir()
    collect(store, full=True)
    assert store.layer_path(layer.directory).is_dir() and os.listdir(store.root / "tmp") == []


def test_strays_of_a_power_loss_are_found_by_a_full_collect(store: Store, image: Image) -> None:
    (store.root / "layers/stray").mkdir()
    stray = store.blobs.path(Digest.of(b"stray"))
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"stray")
    before = on_disk(store)
    assert collect(store).bytes == 0 and on_disk(store) == before
    assert collect(store, full=True).blobs == [Digest.of(b"stray")]
    assert on_disk(store)[1] == {image.id, image.manifest.digest} and len(on_disk(store)[0]) == 1


def test_a_snapshot_without_owner_goes_and_a_containers_stays(store: Store, image: Image) -> None:
    for key in ("dead", "c1"):
        (store.root / "snapshots" / key / "upper").mkdir(parents=True)
    store.holds.set(Hold("container", "c1", "web", image.id, False))
    collect(store)
    assert os.listdir(store.root / "snapshots") == ["c1"]


def test_trees_deeper_than_any_path_are_removed(store: Store, image: Image) -> None:
    (directory,) = (store.root / "layers").iterdir()
    here = os.open(directory, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    untag(store, image)
    collect(store)
    assert on_disk(store) == (set(), set()) and os.listdir(store.root / "tmp") == []


def test_links_are_removed_and_never_followed(store: Store, image: Image, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    (directory,) = (store.root / "layers").iterdir()
    (directory / "link").symlink_to(tmp_path / "mine")
    untag(store, image)
    collect(store)
    assert (tmp_path / "mine/file").exists() and on_disk(store) == (set(), set())


def test_collect_refuses_to_run_inside_a_transaction(store: Store) -> None:
    with pytest.raises(AssertionError), store.transaction():
        collect(store)


def test_a_prune_finds_what_a_power_loss_made_everybody_forget(store: Store, image: Image) -> None:
    """A blob and a directory are on the disk, and the rows that spoke of them never got there."""
    collect(store, full=None)
    stray = store.layer_path("stray234")
    stray.mkdir()
    path = store.blobs.path(Digest.of(b"stray"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"stray")
    assert collect(store, full=None).bytes == 0 and stray.exists(), "while the machine runs nobody looks at everything"
    (store.root / SWEPT).write_bytes(b"another-boot 1\n")
    assert collect(store, full=None).bytes > 0 and not stray.exists() and not path.exists()
    assert store.images.get(image.id) and on_disk(store) != (set(), set())
