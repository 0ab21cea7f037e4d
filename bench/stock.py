"""A store as it is after years: thousands of images, tags and layers, made straight through the store's own calls."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from image.config import ContainerConfig, History, ImageConfig
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.manifest import Manifest
from image.media_types import OCI_CONFIG, OCI_LAYER
from image.platform import host_platform
from image.reference import Reference
from store.images import Image
from store.layers import Layer
from store.store import Store

BATCH = 500
FIRST = 1_700_000_000  # when the oldest was created; each next one is a minute younger
LAYER_BYTES = 4096


def fill(root: Path, *, images: int, tags: int, layers: int, dangling: int = 0) -> None:
    """`images` in a store at `root`, the newest `dangling` of them without a tag. The others share `tags` evenly, each in
    repositories of its own; every image has two base layers that ten images share, and its share of the `layers`."""
    own = layers // images
    with Store.open(root, sync=False) as store:
        for begin in range(0, images, BATCH):
            with store.transaction():
                for number in range(begin, min(begin + BATCH, images)):
                    image = _image(store, number, own)
                    named = images - dangling
                    if number < named:
                        _tag(store, image, number, tags * (number + 1) // named - tags * number // named)


def _image(store: Store, number: int, own: int) -> Image:
    shared = [_layer(store, f"base {number // 10} {step}") for step in range(2)]
    stack = [*shared, *(_layer(store, f"own {number} {step}") for step in range(own))]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(FIRST + 60 * number))
    steps = tuple(History(when, f"RUN step {step}") for step in range(len(stack)))
    labels = {"number": str(number), "team": f"team{number % 50}"}
    container = ContainerConfig(cmd=("/bin/sh",), labels=labels)
    config = ImageConfig(host_platform(), container, tuple(layer.diff_id for layer in stack), steps, when)
    raw = config.encode()
    below = [Descriptor(OCI_LAYER, Digest(layer.diff_id), layer.size) for layer in stack]
    manifest = Manifest.build(Descriptor(OCI_CONFIG, Digest.of(raw), len(raw)), below)
    size = sum(layer.size for layer in stack) + len(raw)
    image = Image(
        store.blobs.add(raw), Descriptor(manifest.media_type, store.blobs.add(manifest.raw), len(manifest.raw)), None,
        (FIRST + 60 * number) * 10**9, host_platform(), size, config.diff_ids, labels,
    )  # fmt: skip
    store.images.add(image)
    return image


def _layer(store: Store, name: str) -> Layer:
    diff_id = DiffID.of(name.encode())
    known = store.layers.get(diff_id)
    if known:
        return known
    path = store.layer_path(diff_id.hex[:12])
    path.mkdir()
    (path / "file").write_bytes(name.encode().ljust(LAYER_BYTES, b"."))
    return store.layers.add(Layer(diff_id, path.name, 2 * LAYER_BYTES, "packed", 1))


def _tag(store: Store, image: Image, number: int, count: int) -> None:
    for tag in range(count):
        name = f"registry.example/team{number % 50}/app{number}:v{tag}"
        store.tags.set(Reference.parse(name), image.id, image.manifest)


def containers(root: Path, image: str, count: int) -> None:
    """`count` containers of an image that is in the store at `root`, on the default bridge; none of them runs."""
    from images.resolve import resolve
    from runtime.containers import Containers
    from runtime.networking import Networking, join
    from runtime.request import Request
    from snapshot.choose import choose

    net = Networking(joins=(join("bridge"),))
    with Store.open(root, sync=False) as store:
        those = Containers(store, choose(root))
        for number in range(count):
            request = Request(image, ("sleep", "36000"), name=f"app{number}", network="bridge", net=net)
            _, lock = those.create(request, lambda: resolve(store, image))
            lock.release()


if __name__ == "__main__":
    root, images, tags, layers, dangling = sys.argv[1], *map(int, sys.argv[2:6])
    fill(Path(root), images=images, tags=tags, layers=layers, dangling=dangling)
