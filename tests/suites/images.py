"""Images that need no build: fixtures for whoever imports them into a conftest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from core.clock import format_instant
from image.config import ContainerConfig, History, ImageConfig
from image.digest import DiffID, Digest
from image.platform import host_platform
from image.reference import Reference
from images.publish import publish
from snapshot.copying import Copying
from snapshot.layers import Layers
from store.images import Image
from store.store import Store

Make = Callable[..., Image]
SECOND = 10**9


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", sync=False) as store:
        yield store


@pytest.fixture
def layers(store: Store) -> Layers:
    return Layers(store, Copying(store.root))


@pytest.fixture
def add_layer(store: Store, layers: Layers) -> Callable[[str], DiffID]:
    """A real layer with one file in it, packed as a build would."""
    from layer.pack import pack

    snapshotter = Copying(store.root)

    def add(content: str) -> DiffID:
        key = f"test-{content}".replace(" ", "-")
        snapshotter.prepare(key, [])
        with snapshotter.mounted(key) as root:
            (root / "file").write_text(content * 100)
        directory = snapshotter.seal(key)
        return layers.adopt(directory, pack(store.layer_path(directory))).diff_id

    return add


@pytest.fixture
def make(store: Store, add_layer: Callable[[str], DiffID]) -> Make:
    """`make("app:1", parent=base, labels={...}, created=seconds)`: each call another image, a layer on top of its parent's."""
    numbers = itertools.count(1)

    def make(
        *tags: str, parent: Image | None = None, labels: Mapping[str, str] | None = None, created: int | None = None,
        digests: Sequence[str] = (),
    ) -> Image:  # fmt: skip
        number = next(numbers)
        before = store.images.config(parent.id) if parent else None
        diff_ids = (*(before.diff_ids if before else ()), add_layer(f"layer {number}"))
        history = (*(before.history if before else ()), History("2026-01-01T00:00:00Z", f"RUN {number}"))
        config = ImageConfig(
            host_platform(), ContainerConfig(env=(f"N={number}",), labels=dict(labels or {})), diff_ids, history,
            format_instant((1_700_000_000 + number if created is None else created) * SECOND),
        )  # fmt: skip
        references = [Reference.parse(tag) for tag in tags]
        image = publish(store, config, tags=references, parent=parent.id if parent else None)
        for digest in digests:
            store.tags.add_digest(Reference.parse(digest), image.id)
        store.leases.close()  # as when the command that made it has ended
        return image

    return make


@pytest.fixture
def digest() -> Callable[[str], str]:
    """The digest of some text, to stand for a manifest's."""
    return lambda text: str(Digest.of(text.encode()))
