"""Layers on their way into the store while a build goes on: at a checkpoint the disk comes first, and nothing is left over."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from builder.journal import Journal, Made
from snapshot.layers import Layers
from snapshot.overlay import Overlay
from store.store import Store


def sealed(store: Store, snapshots: Overlay, name: str) -> Made:
    snapshots.prepare(name, [])
    (store.root / "snapshots" / name / "upper" / name).write_text(name)
    key = name.encode().hex().ljust(64, "0")
    return Made(snapshots.seal(name), lambda: key, 1)


def test_a_checkpoint_enters_what_the_disk_has_and_leaves_only_layers(
    store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.journal.CHECKPOINT_SECONDS", 0)
    with Store.open(store_root) as store, store.leases.take("build") as lease:
        rows: list[int] = []
        monkeypatch.setattr(store, "sync_layers", lambda: rows.append(len(list(store.layers.all()))))
        snapshots = Overlay(store.root)
        journal = Journal(store, snapshots, Layers(store, snapshots), lease)
        made = [sealed(store, snapshots, name) for name in ("one", "two", "three")]
        for one in made:
            journal.add(one)
        journal.wait()
        journal.enter()
        journal.close()
        assert rows[0] == 0 and all(one.entered for one in made)
        assert sorted(os.listdir(store.root / "layers")) == sorted(one.directory for one in made)
        assert os.listdir(store.root / "tmp") == []
        assert all(store.records.get(one.key()) for one in made)


def test_a_key_is_found_before_the_store_is_locked_for_it(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may be finding it, and be waiting for the store."""
    monkeypatch.setattr("builder.journal.CHECKPOINT_SECONDS", 0)
    with Store.open(store_root) as store, store.leases.take("build") as lease:
        snapshots = Overlay(store.root)
        journal = Journal(store, snapshots, Layers(store, snapshots), lease)
        one = sealed(store, snapshots, "one")
        asked: list[bool] = []

        def key() -> str:
            asked.append(store.database.in_transaction())
            return "a" * 64

        one.key = key
        journal.add(one)
        end = time.monotonic() + 30
        while not one.entered and time.monotonic() < end:
            time.sleep(0.01)
        journal.close()
        assert one.entered and asked[0] is False
