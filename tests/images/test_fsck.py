"""fsck finds what is damaged, says who needs it, and knows a crash's leftovers from damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.media_types import OCI_INDEX
from image.reference import Reference
from images.filters import Filters
from images.fsck import fsck
from images.prune import prune
from images.remove import remove
from snapshot.layers import Layers
from store.holds import Hold
from store.images import Image
from store.layers import Layer
from store.store import Store

Make = Callable[..., Image]


def damages(store: Store, layers: Layers) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(d.kind, d.name, d.needed_by) for d in fsck(store, layers.verify).damages]


def test_a_whole_store_is_whole(store: Store, layers: Layers, make: Make) -> None:
    make("child", parent=make("base"))
    report = fsck(store, layers.verify)
    assert (report.images, report.layers, report.blobs, report.damages, report.leftovers) == (2, 2, 4, [], 0)


def test_a_changed_config_names_its_image(store: Store, layers: Layers, make: Make) -> None:
    image = make("app")
    spoil(store.blobs.path(image.id))
    assert damages(store, layers) == [("config", image.id, ("app:latest",))]


def test_a_missing_manifest_names_its_image(store: Store, layers: Layers, make: Make) -> None:
    image = make()
    store.blobs.delete(image.manifest.digest)
    assert damages(store, layers) == [("manifest", image.manifest.digest, (f"untagged image {image.id.short}",))]


def test_a_changed_layer_names_every_image_on_it(store: Store, layers: Layers, make: Make) -> None:
    base = make("base")
    make("child", parent=base)
    layer = store.layers.get(base.diff_ids[0])
    assert layer
    spoil(store.layer_path(layer.directory) / "file")
    [(kind, name, users)] = damages(store, layers)
    assert (kind, name, set(users)) == ("layer", base.diff_ids[0], {"base:latest", "child:latest"})


def test_a_layer_that_a_container_alone_keeps_names_the_container(store: Store, layers: Layers, make: Make) -> None:
    base, removed = make("base"), make("removed")
    store.holds.set(Hold("container", "c1" * 32, "web", base.id, False))
    store.holds.keep("container", "c1" * 32, removed.diff_ids[0])
    remove(store, "removed", force=True)
    layer = store.layers.get(removed.diff_ids[0])
    assert layer
    spoil(store.layer_path(layer.directory) / "file")
    assert damages(store, layers) == [("layer", layer.diff_id, ("container web",))]


def test_a_missing_layer_directory_is_damage(store: Store, layers: Layers, make: Make) -> None:
    image = make("app")
    layer = store.layers.get(image.diff_ids[0])
    assert layer
    store.layer_path(layer.directory).rename(store.root / "tmp" / "elsewhere")
    [damage] = fsck(store, layers.verify).damages
    assert "missing" in damage.reason and damage.needed_by == ("app:latest",)


def test_a_target_that_is_gone_names_its_tag(store: Store, layers: Layers, make: Make) -> None:
    image, index = make("app"), Digest.of(b"an index")
    store.tags.set(Reference.parse("multi:1"), image.id, Descriptor(OCI_INDEX, index, 8))
    assert damages(store, layers) == [("manifest", index, ("multi:1",))]


def test_a_config_that_only_a_container_needs_counts(store: Store, layers: Layers, make: Make) -> None:
    image = make("app")
    store.holds.set(Hold("container", "c" * 64, "web", image.id, False))
    remove(store, "app", force=True)
    assert damages(store, layers) == []
    store.blobs.delete(image.id)
    assert damages(store, layers) == [("config", image.id, ("container web",))]


def test_what_a_crash_leaves_is_no_damage_and_the_next_prune_takes_it(
    store: Store, layers: Layers, make: Make, add_layer: Callable[[str], DiffID]
) -> None:
    image = make("app")
    (store.root / "layers" / "strayyyy").mkdir()
    (store.root / "tmp" / "dead.blob").write_bytes(b"half a blob")
    blob = store.blobs.add(b"nobody knows me")
    store.leases.close()
    add_layer("of a build that was killed")
    remove(store, "app")
    store.leases.close()
    report = fsck(store, layers.verify)
    # the stray directory, the temporary file, the blob, two layers, and the removed image's config and manifest
    assert (report.damages, report.leftovers) == ([], 7)
    prune(store, Filters({}))
    assert fsck(store, layers.verify).leftovers == 0
    assert store.blobs.stat(blob) is None and store.blobs.stat(image.id) is None


def test_damage_that_nobody_needs_is_only_a_leftover(store: Store, layers: Layers, make: Make) -> None:
    image = make("app")
    remove(store, "app")
    spoil(store.blobs.path(image.id))
    store.leases.close()
    report = fsck(store, layers.verify)
    assert not report.damages and report.leftovers


def test_an_image_that_is_removed_meanwhile_is_no_damage(
    store: Store, layers: Layers, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("second")
    make("first")
    read = store.blobs.read

    def slow_read(digest: Digest, limit: int) -> bytes:
        if store.tags.get(Reference.parse("first:latest")):
            remove(store, "first")
            prune(store, Filters({}))
        return read(digest, limit)

    def slow_verify(layer: Layer) -> None:
        if store.tags.get(Reference.parse("second:latest")):
            remove(store, "second")
            prune(store, Filters({}))
        layers.verify(layer)

    monkeypatch.setattr(store.blobs, "read", slow_read)
    assert fsck(store, slow_verify).damages == [] and store.images.count() == 0


def test_a_catalog_that_contradicts_the_config_is_damage(store: Store, layers: Layers, make: Make) -> None:
    image = make("app")
    with store.transaction() as connection:
        connection.execute("UPDATE images SET diff_ids = ? WHERE id = ?", (str(DiffID.of(b"other")), image.id))
    assert ("config", image.id, ("app:latest",)) in damages(store, layers)


def test_a_manifest_of_another_image_is_damage(store: Store, layers: Layers, make: Make) -> None:
    image, other = make("app"), make("other")
    with store.transaction() as connection:
        connection.execute("UPDATE images SET manifest_digest = ? WHERE id = ?", (other.manifest.digest, image.id))
    [damage] = fsck(store, layers.verify).damages
    assert (damage.kind, damage.needed_by) == ("manifest", ("app:latest",)) and "not the manifest" in damage.reason


def spoil(path: Path) -> None:
    """Turn one bit over, and leave size and times as they are."""
    import os

    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
