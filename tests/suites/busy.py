"""A process that works on a store until it is killed: `python busy.py KIND ROOT SEED`. Each line it prints is a promise:
what it says is done must be whole whatever happens afterwards."""

from __future__ import annotations

import itertools
import random
import sys
from contextlib import suppress
from pathlib import Path

from core.errors import Conflict, NotFound
from image.config import ContainerConfig, ImageConfig
from image.descriptor import Descriptor
from image.digest import Digest
from image.manifest import Manifest
from image.media_types import OCI_CONFIG, OCI_LAYER
from image.reference import Reference
from layer.pack import pack
from snapshot.layers import Layers
from snapshot.overlay import Overlay
from snapshot.protocol import Snapshotter
from store.collect import collect
from store.images import Image
from store.layers import Layer
from store.records import Record
from store.store import Store
from tests.suites.stock import PLATFORM


def step(store: Store, snapshots: Snapshotter, key: str, below: list[Layer], content: str) -> Layer:
    """A layer with a file that says `content`: one mount, one seal, one row and one cache record."""
    layers = Layers(store, snapshots)
    snapshots.prepare(key, layers.directories([layer.diff_id for layer in below]))
    with snapshots.mounted(key) as tree:
        (tree / "file").write_text(content * 50)
    name = snapshots.seal(key)
    packed = pack(store.layer_path(name))
    with store.transaction():
        layer = layers.adopt(name, packed)
        store.records.add(Record(Digest.of(content.encode()).hex, layer.diff_id, b"{}", 0, 0))
    return layer


def publish(store: Store, stack: list[Layer], name: str, tag: str) -> None:
    config = ImageConfig(PLATFORM, ContainerConfig(labels={"n": name}), tuple(layer.diff_id for layer in stack))
    raw = config.encode()
    blobs = [Descriptor(OCI_LAYER, Digest(layer.diff_id), layer.size) for layer in stack]
    manifest = Manifest.build(Descriptor(OCI_CONFIG, config.id, len(raw)), blobs)
    store.blobs.add(raw)
    store.blobs.add(manifest.raw)
    with store.transaction():
        store.images.add(Image(config.id, manifest.descriptor, None, 0, PLATFORM, len(raw), config.diff_ids))
        store.tags.set(Reference.parse(tag).tagged(), config.id, manifest.descriptor)
    print(tag, flush=True)


def build(root: Path, seed: str) -> None:
    """Images of two layers, the lower of which other processes make as well, each under a tag of its own."""
    snapshots = Overlay(root)
    for number in itertools.count():
        with Store.open(root, sync=False) as store:  # one command of a user after the other
            key = f"b{seed}-{number}"
            bottom = step(store, snapshots, f"{key}-0", [], f"shared {number % 3}")
            top = step(store, snapshots, f"{key}-1", [bottom], f"{seed} {number}")
            publish(store, [bottom, top], f"{seed} {number}", f"made{seed}:{number}")


def shuffle(root: Path, seed: str) -> None:
    """Images of the layers that the cache has, all under one tag: the one before dangles."""
    choose = random.Random(seed)
    for number in itertools.count():
        with Store.open(root, sync=False) as store:
            with store.database.write(durable=False):
                records = list(store.records.all())
                stack = [choose.choice(records)] if records else []
                layers = [layer for r in stack if r.diff_id and (layer := Layers(store, Overlay(root)).find(r.diff_id))]
            publish(store, layers, f"{seed} {number}", f"moving{seed}")


def prune(root: Path, seed: str) -> None:
    """Removes dangling images, all cache records now and then, and what they kept."""
    for number in itertools.count():
        with Store.open(root, sync=False) as store:
            with store.transaction():
                for image in list(store.images.dangling()):
                    with suppress(Conflict, NotFound):
                        store.images.delete(image.id)
                if number % 3 == 0:
                    for record in list(store.records.all()):
                        store.records.delete(record.key)
            collect(store, full=number % 5 == 0)
        print("-", flush=True)


def main(kind: str, root: Path, seed: str) -> int:
    """Run one of the above until killed."""
    from core.namespaces import contained

    if kind == "build":
        return contained(lambda: build(root, seed) or 0)  # type: ignore[func-returns-value]
    {"shuffle": shuffle, "prune": prune}[kind](root, seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
