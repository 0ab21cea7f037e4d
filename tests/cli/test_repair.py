"""`fsck --repair` on real damage of every kind, with a real registry to pull from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from store.images import Image
from store.store import Store
from tests.conftest import ROOT
from tests.registry.client.shelf import Shelf
from tests.suites.damage import DAMAGES, PULLED, Damage, behind_its_back, bottom, directory, found, some_file, spoil


class Said(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture
def built(cli: Cli, registry: str, tmp_path: Path) -> str:
    """An image of two layers as a build leaves it, which has been pushed."""
    shelf = Shelf(tmp_path / "store")
    shelf.image(f"{registry}/app:1", {"etc/one": b"one" * 99, "two": b"2"}, {"three": b"three" * 500})
    shelf.close()
    assert cli("push", f"{registry}/app:1").code == 0
    return f"{registry}/app:1"


@pytest.fixture
def pulled(cli: Cli, built: str) -> str:
    """The same image, pulled."""
    assert cli("rmi", built).code == 0 and cli("pull", "-q", built).code == 0
    return built


def saved(cli: Cli, name: str, path: Path) -> bytes:
    assert cli("save", "-o", path, name).code == 0
    return path.read_bytes()


def check(cli: Cli, store: Store, name: str, damage: Damage, tmp_path: Path) -> str:
    """Damage, find, repair, check; what the repair said."""
    before = saved(cli, name, tmp_path / "before.tar")
    damage(store, found(store, name))
    said = cli("fsck")
    assert said.code == 1, said
    said = cli("fsck", "--repair")
    assert (said.code, said.err) == (0, "") and "\nrepaired " in said.out and "NOT" not in said.out, said
    again = cli("fsck")
    assert again.code == 0 and "leftover" not in again.out, again
    assert cli("fsck", "--repair", "-q").out == ""
    assert saved(cli, name, tmp_path / "after.tar") == before
    return str(said.out)


@pytest.mark.parametrize("damage", [*DAMAGES, *PULLED])
def test_a_pulled_image_is_made_whole(cli: Cli, pulled: str, store: Store, damage: str, tmp_path: Path) -> None:
    check(cli, store, pulled, (DAMAGES | PULLED)[damage], tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_image_that_was_built_here_and_pushed_is_made_whole(
    cli: Cli, built: str, store: Store, damage: str, tmp_path: Path
) -> None:
    check(cli, store, built, DAMAGES[damage], tmp_path)


@pytest.fixture
def offline(cli: Cli, store: Store, tmp_path: Path) -> str:
    """A pulled image whose registry is gone."""
    from tests.suites.served import Served

    server = Served(tmp_path / "registry")
    name = f"127.0.0.1:{server.port}/app:1"
    shelf = Shelf(tmp_path / "store")
    shelf.image(name, {"one": b"one" * 99})
    shelf.close()
    assert cli("push", name).code == cli("rmi", name).code == cli("pull", "-q", name).code == 0
    server.stop()
    return name


LOCAL = ("a flipped bit in a file", "a missing directory", "a changed mode", "a lost layer row", "a lost image row")


@pytest.mark.parametrize("damage", LOCAL)
def test_what_the_kept_blobs_tell_needs_no_registry(
    cli: Cli, offline: str, store: Store, damage: str, tmp_path: Path
) -> None:
    check(cli, store, offline, DAMAGES[damage], tmp_path)


@pytest.mark.parametrize("damage", ["a missing manifest", "a lost layer row", "a lost image row"])
def test_what_config_and_layers_tell_needs_no_registry(cli: Cli, store: Store, damage: str, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "store")
    shelf.image("app", {"one": b"one" * 99})
    shelf.close()
    check(cli, store, "app", DAMAGES[damage], tmp_path)


def test_a_registry_that_does_not_answer_costs_no_name(cli: Cli, offline: str, store: Store) -> None:
    image = found(store, offline)
    PULLED["directory and blob missing"](store, image)
    store.blobs.path(image.manifest.digest).unlink()
    said = cli("fsck", "--repair")
    assert said.code == 1 and "NOT repaired layer" in said.out and "NOT repaired manifest" in said.out
    assert "127.0.0.1" in said.out and found(store, offline).manifest == image.manifest


def test_what_nobody_can_give_again_is_told_with_the_way_on(cli: Cli, make: Callable[..., Image], store: Store) -> None:
    image = make("app")
    spoil(some_file(store, image))
    for _ in range(2):
        said = cli("fsck", "--repair")
        assert said.code == 1
        assert (
            f"NOT repaired layer {image.diff_ids[0]}: it is in no registry that is known: build app:latest again"
            in said.out
        )
    report = json.loads(cli("fsck", "--repair", "--format", "json").out)
    assert [damage["Name"] for damage in report["Damaged"]] == [image.diff_ids[0]]
    assert [(one["Kind"], one["Done"]) for one in report["Repairs"]] == [("layer", False)]
    assert cli("rmi", "app").code == 0 and cli("fsck").code == 0


def test_a_damaged_layer_that_only_the_cache_keeps_is_removed(
    cli: Cli, make: Callable[..., Image], store: Store
) -> None:
    from store.records import Record

    image = make("app")
    place = directory(store, image)
    store.records.add(Record("aa", image.diff_ids[0], b"{}", 0, 0))
    assert cli("rmi", "app").code == 0
    spoil(place / "file")
    assert cli("fsck").code == 1
    said = cli("fsck", "--repair")
    assert said.code == 0 and "removed it: nobody needs it any more" in said.out
    assert store.records.get("aa") is None and not place.exists()


def test_a_tag_of_an_image_that_is_lost_for_good_goes(cli: Cli, make: Callable[..., Image], store: Store) -> None:
    image = make("app", "app:2")
    make("other")
    DAMAGES["a lost image row"](store, image)
    store.blobs.path(image.id).unlink()
    said = cli("fsck", "--repair")
    assert said.code == 0 and said.out.count("its image is lost; pull or build that again") == 2
    assert [tag.reference.familiar for tag in store.tags.all()] == ["other:latest"] and cli("fsck").code == 0


def test_records_of_lost_layers_go(cli: Cli, make: Callable[..., Image], store: Store) -> None:
    make("app")
    behind_its_back(store, "INSERT INTO records VALUES ('aa', 'sha256:lost', '', 0, 0, 0)")
    assert "damaged record aa" in cli("fsck").out
    assert cli("fsck", "--repair").code == 0 and store.records.get("aa") is None


def test_leftovers_are_removed(cli: Cli, make: Callable[..., Image], store: Store) -> None:
    make("app")
    (store.root / "layers/stray").mkdir()
    (store.root / "layers/stray/file").write_bytes(b"x" * 9999)
    (store.root / "tmp/dead.blob").write_bytes(b"half")
    said = cli("fsck", "--repair")
    assert said.code == 0 and "repaired leftovers" in said.out and "next prune" not in said.out
    assert not (store.root / "layers/stray").exists()


def test_two_repairs_at_once_and_a_pull_beside_them(cli: Cli, pulled: str, store: Store, tmp_path: Path) -> None:
    before = saved(cli, pulled, tmp_path / "before.tar")
    for damage in ("a flipped bit in a file", "a missing manifest"):
        DAMAGES[damage](store, found(store, pulled))
    words = (["fsck", "--repair"], ["fsck", "--repair"], ["pull", "-q", pulled])
    running = [start(store, *one) for one in words]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert cli("fsck", "--repair").code == 0 and cli("fsck").code == 0
    assert saved(cli, pulled, tmp_path / "after.tar") == before


@pytest.mark.parametrize("after", [0.15, 0.2, 0.25, 0.3, 0.35, 0.4])
def test_a_repair_that_is_killed_is_taken_up_by_the_next(
    cli: Cli, pulled: str, store: Store, tmp_path: Path, after: float
) -> None:
    before = saved(cli, pulled, tmp_path / "before.tar")
    image = found(store, pulled)
    PULLED["a flipped bit in a blob"](store, image)
    for damage in ("a missing directory", "a missing config", "a missing manifest"):
        DAMAGES[damage](store, image)
    process = start(store, "fsck", "--repair")
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert cli("fsck", "--repair").code == 0
    assert cli("fsck").out.endswith("all whole\n")
    assert saved(cli, pulled, tmp_path / "after.tar") == before


def start(store: Store, *words: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "LAMELLA_ROOT": str(store.root)}
    return subprocess.Popen([sys.executable, "-m", "lamella", *words], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)


def test_a_layer_that_became_whole_is_let_go(cli: Cli, make: Callable[..., Image], store: Store) -> None:
    image = make("app")
    place = directory(store, image)
    place.rename(store.root / "elsewhere")
    assert cli("fsck").code == 1 and bottom(store, image).damaged == "the directory is missing"
    (store.root / "elsewhere").rename(place)
    assert cli("fsck").code == 0 and bottom(store, image).damaged is None


def test_a_catalog_that_was_lost_costs_no_layer(
    cli: Cli, make: Callable[..., Image], store: Store, tmp_path: Path
) -> None:
    image = make("app")
    store.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{store.root}/catalog.db{suffix}").unlink(missing_ok=True)
    for words in (("fsck", "--repair"), ("image", "prune", "-f"), ("images",)):
        said = cli(*words)
        assert said.code == 1 and "catalog.db is gone, and there are " in said.err and "put it back" in said.err
    assert store.blobs.stat(image.id) and list((store.root / "layers").iterdir())
    assert not (store.root / "catalog.db").exists()
