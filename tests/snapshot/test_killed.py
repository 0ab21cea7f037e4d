"""Builds, other commands and prunes on one store, each killed with SIGKILL again and again at no special moment: nothing that was
reported done is lost, and the next collect takes everything that was left."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from image.reference import Reference
from snapshot.layers import Layers
from snapshot.overlay import Overlay
from store.collect import collect
from store.store import Store
from tests.conftest import ROOT, needs

KILLS = 24
WORKERS = ("build", "build", "shuffle", "prune", "prune")


class Worker:
    """One process; what it has printed up to its death counts as promised."""

    def __init__(self, kind: str, root: Path, seed: int, log: Path) -> None:
        self.kind = kind
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.suites.busy", kind, str(root), str(seed)], stdout=out, stderr=out, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def kill(self) -> list[str]:
        assert self.process.poll() is None, f"{self.kind} ended by itself: {self._log.read_text()[-3000:]}"
        self.process.kill()
        self.process.wait()
        return self._log.read_text().splitlines()


def check_whole(store: Store, promised: set[str]) -> None:
    layers = Layers(store, Overlay(store.root))
    for name in promised:
        tag = store.tags.get(Reference.parse(name).tagged())
        assert tag, f"{name} was reported done and is lost"
        image = store.images.get(tag.image)
        assert image
        config = store.images.config(image.id)
        assert config.diff_ids == image.diff_ids
        assert store.blobs.read(tag.target.digest, 1 << 20)
    for layer in store.layers.all():
        layers.verify(layer)


def check_clean(store: Store) -> None:
    for record in list(store.records.all()):
        store.records.delete(record.key)
    for image in list(store.images.dangling()):
        store.images.delete(image.id)
    collect(store)
    needed = {image.id for image in store.images.all()} | {image.manifest.digest for image in store.images.all()}
    assert set(store.blobs.walk()) == needed
    assert {layer.directory for layer in store.layers.all()} == set(os.listdir(store.root / "layers"))
    assert {layer.diff_id for layer in store.layers.all()} == {d for i in store.images.all() for d in i.diff_ids}
    for place in ("tmp", "locks", "snapshots"):
        assert os.listdir(store.root / place) == []
    assert store.database.read().execute("SELECT count(*) FROM garbage").fetchone()[0] == 0
    assert not Path("/proc/self/mountinfo").read_text().count(str(store.root))


@needs("mount")
@pytest.mark.timeout(120)
def test_killing_anything_at_any_time_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    chance = random.Random()
    root = tmp_path / "store"
    Store.open(root).close()
    promised: set[str] = set()
    kills: dict[str, int] = dict.fromkeys(WORKERS, 0)
    workers = [Worker(kind, root, seed, tmp_path / f"{seed}") for seed, kind in enumerate(WORKERS)]
    try:
        for number in range(KILLS):
            time.sleep(chance.uniform(0.1, 0.5))
            victim = workers.pop(chance.randrange(len(workers)))
            promised |= {line for line in victim.kill() if line != "-"}
            kills[victim.kind] += 1
            if number < KILLS - len(WORKERS):
                seed = number + len(WORKERS)
                workers.append(Worker(victim.kind, root, seed, tmp_path / f"{seed}"))
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
    with Store.open(root, sync=False) as store:
        check_whole(store, promised)
        check_clean(store)
        check_whole(store, promised)
    print(f"kills: {kills}; images reported done: {len(promised)}")
    assert len(promised) > KILLS // 2  # a busy machine lets the victims do less
