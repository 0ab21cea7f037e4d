"""`lamella builder prune` and `builder du`: the build cache's layers, and their space back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from image.digest import DiffID
from store.images import Image
from store.records import Record
from store.store import Store
from tests.cli.conftest import Said
from tests.conftest import Lamella, needs

Add = Callable[[str], DiffID]
Make = Callable[..., Image]
HOUR = 3600 * 10**9


@pytest.fixture
def cached(store: Store, add_layer: Add) -> Callable[..., str]:
    """`cached("a", hours=3)`: a record, last used so long ago, that keeps a layer of its own (or the one given)."""

    def add(name: str, hours: int = 0, diff_id: DiffID | None = None) -> str:
        used = time.time_ns() - hours * HOUR
        key = name.encode().hex().ljust(64, "0")
        store.records.add(Record(key, diff_id or add_layer(name), b"{}", used, used))
        store.leases.close()
        return key

    return add


def test_prune_frees_what_only_the_cache_keeps(
    cli: Callable[..., Said], store: Store, make: Make, cached: Callable[..., str]
) -> None:
    image = make("app:1")
    shared, alone = cached("shared", diff_id=image.diff_ids[0]), cached("alone")
    said = cli("builder", "prune", "-f")
    assert said.out.startswith(f"Deleted build cache objects:\n{alone}\n\nTotal reclaimed space: ")
    assert not said.out.endswith(": 0B\n")
    assert [record.key for record in store.records.all()] == [shared]
    assert [layer.diff_id for layer in store.layers.all()] == list(image.diff_ids)


def test_all_takes_what_images_share_too_and_leaves_the_images_whole(
    cli: Callable[..., Said], store: Store, make: Make, cached: Callable[..., str]
) -> None:
    image = make("app:1")
    cached("shared", diff_id=image.diff_ids[0])
    store.records.add(Record("n" * 64, None, b"{}", 1, 1))
    assert cli("builder", "prune", "--all", "--force").code == 0
    assert list(store.records.all()) == []
    assert cli("fsck").code == 0


def test_until_keeps_what_was_used_since(cli: Callable[..., Said], store: Store, cached: Callable[..., str]) -> None:
    cached("old", hours=30)
    new = cached("new", hours=1)
    cli("builder", "prune", "-f", "--filter", "until=24h")
    assert [record.key for record in store.records.all()] == [new]


def test_keep_storage_lets_go_of_what_was_used_longest_ago(
    cli: Callable[..., Said], store: Store, cached: Callable[..., str]
) -> None:
    keys = [cached(name, hours=hours) for name, hours in (("new", 1), ("mid", 2), ("old", 3))]
    size = next(iter(store.layers.all())).size
    cli("builder", "prune", "-f", "--keep-storage", 2 * size)
    assert sorted(record.key for record in store.records.all()) == sorted(keys[:2])


def test_dry_run_removes_nothing(cli: Callable[..., Said], store: Store, cached: Callable[..., str]) -> None:
    key = cached("a")
    said = cli("builder", "prune", "--dry-run")
    assert said.out.startswith(f"Build cache objects that would be deleted:\n{key}\n\nTotal reclaimable space: ")
    assert len(list(store.records.all())) == 1


def test_what_a_living_build_holds_stays(cli: Callable[..., Said], store: Store, cached: Callable[..., str]) -> None:
    cached("a")
    record = next(iter(store.records.all()))
    assert record.diff_id
    with store.leases.take("build") as lease:
        lease.hold_layer(record.diff_id)
        assert cli("builder", "prune", "-af").out == "Total reclaimed space: 0B\n"
    assert cli("builder", "prune", "-af").out.startswith("Deleted")


def test_without_force_it_asks(
    cli: Callable[..., Said], store: Store, cached: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    cached("a")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    said = cli("builder", "prune")
    assert (said.code, said.out) == (0, "")
    assert "WARNING! This will remove all dangling build cache." in said.err
    assert list(store.records.all())


def test_image_prune_says_what_the_cache_still_keeps(
    cli: Callable[..., Said], store: Store, cached: Callable[..., str]
) -> None:
    assert cli("image", "prune", "-f").err == ""
    cached("a")
    said = cli("image", "prune", "-f")
    assert said.out == "Total reclaimed space: 0B\n"
    assert said.err.startswith("the build cache keeps another ") and "`lamella builder prune`" in said.err


def test_du_tells_reclaimable_from_shared(cli: Callable[..., Said], make: Make, cached: Callable[..., str]) -> None:
    cached("shared", hours=1, diff_id=make("app:1").diff_ids[0])
    cached("alone")
    rows = [json.loads(line) for line in cli("builder", "du", "--format", "json").out.splitlines()]
    assert [row["Reclaimable"] for row in rows] == ["true", "false"]
    assert cli("builder", "du").out.splitlines()[0].split() == ["ID", "RECLAIMABLE", "SIZE", "LAST", "ACCESSED"]


@needs("busybox")
def test_after_prune_a_build_does_the_work_again(lamella: Lamella, base: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN echo a >/a\nRUN echo b >/b\n")
    first = lamella("build", "-q", "-t", "app", tmp_path).stdout
    lamella("rmi", "app")
    assert "CACHED" in lamella("build", "--progress=plain", tmp_path).stderr
    lamella("image", "prune", "-f")
    lamella("builder", "prune", "-f")
    done = lamella("build", "--progress=plain", "-t", "app", tmp_path)
    assert "CACHED" not in done.stderr and first
    lamella("fsck")
