"""Images, tags, layers, records and holds: what each table promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Conflict, NotFound
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.reference import Reference
from store.blobs import BlobNotFound
from store.collect import collect
from store.holds import Hold
from store.images import Image
from store.layers import Layer
from store.records import Record
from store.store import Store
from tests.suites.stock import add_image, add_layer

ONE, TWO = (Reference.parse(f"localhost:5000/team/app:{tag}") for tag in ("1", "2"))


def dangling(store: Store) -> set[Digest]:
    return {image.id for image in store.images.dangling()}


class TestImages:
    def test_adding_twice_changes_nothing(self, store: Store) -> None:
        image = add_image(store, "one", tags=["one"])
        store.images.add(image)
        assert list(store.images.all()) == [image] and len(store.tags.of_image(image.id)) == 1

    def test_an_image_without_its_layers_is_refused(self, store: Store) -> None:
        image = add_image(store, "one")
        strange = Image(Digest.of(b"x"), image.manifest, None, 0, image.platform, 1, (*image.diff_ids, DiffID.of(b"?")))
        with pytest.raises(NotFound, match="a layer of image"):
            store.images.add(strange)
        assert store.images.get(strange.id) is None

    def test_a_layer_may_come_twice_in_an_image(self, store: Store) -> None:
        image = add_image(store, "twice", layers=["same", "other", "same"])
        found = store.images.get(image.id)
        assert found and found.diff_ids == image.diff_ids and len(found.diff_ids) == 3

    def test_a_prefix_finds_at_most_what_is_asked_for(self, store: Store) -> None:
        images = [add_image(store, str(n)) for n in range(40)]
        one = images[7].id
        assert [image.id for image in store.images.find(one.hex[:20])] == [one]
        assert [image.id for image in store.images.find(one.hex)] == [one]
        assert len(store.images.find("", 3)) == 3 and len(store.images.find("f", 100)) < 40
        assert store.images.find("zz") == []

    def test_pages_are_the_whole_list_in_pieces_newest_first(self, store: Store) -> None:
        for n in range(10):
            add_image(store, str(n), created=n // 3)
        whole = list(store.images.all())
        assert [image.created for image in whole] == sorted((i.created for i in whole), reverse=True)
        pieces: list[Image] = []
        while page := store.images.page(3, pieces[-1] if pieces else None):
            pieces += page
        assert pieces == whole

    def test_an_image_that_is_tagged_cannot_be_deleted(self, store: Store) -> None:
        image = add_image(store, "one", tags=["one"])
        with pytest.raises(Conflict, match="still has a tag"):
            store.images.delete(image.id)

    def test_deleting_takes_the_repository_digests_along(self, store: Store) -> None:
        image = add_image(store, "one")
        store.tags.add_digest(ONE.with_digest(Digest.of(b"m")), image.id)
        assert store.images.delete(image.id) and not store.images.delete(image.id)
        assert store.tags.get_digest(ONE.with_digest(Digest.of(b"m"))) is None

    def test_touching_notes_the_time(self, store: Store) -> None:
        image = add_image(store, "one")
        store.images.touch(image.id)
        found = store.images.get(image.id)
        assert image.last_used is None and found and found.last_used


class TestDangling:
    def test_neither_tag_nor_child(self, store: Store) -> None:
        parent = add_image(store, "parent", tags=["parent"])
        child = add_image(store, "child", parent=parent.id, tags=["child"])
        alone = add_image(store, "alone")
        assert dangling(store) == {alone.id}
        store.tags.delete(Reference.parse("parent").tagged())
        assert dangling(store) == {alone.id}
        store.tags.delete(Reference.parse("child").tagged())
        assert dangling(store) == {alone.id, child.id}
        store.images.delete(child.id)
        assert dangling(store) == {alone.id, parent.id}

    def test_a_tag_that_moves_leaves_its_image_dangling(self, store: Store) -> None:
        old, new = add_image(store, "old", tags=["app"]), add_image(store, "new")
        assert store.tags.set(Reference.parse("app").tagged(), new.id, new.manifest) == old.id
        assert dangling(store) == {old.id}
        assert store.tags.set(Reference.parse("app").tagged(), new.id, new.manifest) == new.id
        assert dangling(store) == {old.id}

    def test_a_repository_digest_is_no_tag(self, store: Store) -> None:
        image = add_image(store, "one")
        store.tags.add_digest(ONE.with_digest(image.manifest.digest), image.id)
        assert dangling(store) == {image.id}

    def test_a_child_that_came_before_its_parent_counts(self, store: Store) -> None:
        parent = add_image(store, "parent")
        store.images.delete(parent.id)
        child = add_image(store, "child", parent=parent.id, tags=["child"])
        store.images.add(parent)
        assert dangling(store) == set() and store.images.children(parent.id) == [child.id]

    def test_untagged_parents_are_hidden_unless_asked_for(self, store: Store) -> None:
        parent = add_image(store, "parent")
        child = add_image(store, "child", parent=parent.id)
        assert [i.id for i in store.images.all(intermediate=False)] == [child.id]
        assert [i.id for i in store.images.page(9, intermediate=False)] == [child.id]
        assert {i.id for i in store.images.all()} == {parent.id, child.id}


class TestTags:
    def test_a_tag_of_a_missing_image_is_refused(self, store: Store) -> None:
        with pytest.raises(NotFound, match="no such image"):
            store.tags.set(ONE, Digest.of(b"?"), Descriptor("t", Digest.of(b"?"), 1))
        with pytest.raises(NotFound, match="no such image"):
            store.tags.add_digest(ONE.with_digest(Digest.of(b"m")), Digest.of(b"?"))

    def test_what_is_set_is_read_back(self, store: Store) -> None:
        image = add_image(store, "one")
        index = Descriptor("index", Digest.of(b"index"), 5)
        assert store.tags.set(ONE, image.id, index) is None
        tag = store.tags.get(ONE)
        assert tag and (tag.reference, tag.target, tag.image) == (ONE, index, image.id) and tag.updated
        assert store.tags.get(TWO) is None

    def test_tags_are_found_by_image_and_by_repository(self, store: Store) -> None:
        one, two = add_image(store, "one"), add_image(store, "two")
        for reference, image in ((TWO, one), (ONE, one), (Reference.parse("bb").tagged(), two)):
            store.tags.set(reference, image.id, image.manifest)
        assert [t.reference for t in store.tags.of_image(one.id)] == [ONE, TWO]
        assert [t.reference for t in store.tags.of_repository("localhost:5000/team/app")] == [ONE, TWO]
        assert [str(t.reference) for t in store.tags.of_repository("docker.io/library/bb")] == [
            "docker.io/library/bb:latest"
        ]
        assert len(list(store.tags.all())) == 3

    def test_a_tag_is_deleted_once(self, store: Store) -> None:
        add_image(store, "one", tags=[str(ONE)])
        assert store.tags.delete(ONE) and not store.tags.delete(ONE)

    def test_repository_digests_come_and_go(self, store: Store) -> None:
        image = add_image(store, "one")
        reference = ONE.with_digest(Digest.of(b"m"))
        store.tags.add_digest(reference, image.id)
        store.tags.add_digest(reference, image.id)
        assert store.tags.get_digest(reference) == image.id and store.tags.digests_of(image.id) == [reference]
        assert store.tags.delete_digest(reference) and not store.tags.delete_digest(reference)


class TestLayers:
    def test_the_first_directory_of_a_layer_wins(self, store: Store) -> None:
        first = add_layer(store, "one")
        twin = Layer(first.diff_id, "another", 3, "packed", 1)
        assert store.layers.add(twin) == first
        assert store.layers.by_directory(first.directory) == first.diff_id
        assert store.layers.by_directory("another") is None

    def test_compressed_forms_are_remembered_both_ways(self, store: Store) -> None:
        layer = add_layer(store, "one")
        forms = [Descriptor("gzip", Digest.of(b"gz"), 2), Descriptor("zstd", Digest.of(b"zst"), 3)]
        for form in forms:
            store.layers.set_blob(layer.diff_id, form)
        assert {d.digest for d in store.layers.known_blobs(layer.diff_id)} == {d.digest for d in forms}
        assert store.layers.by_blob(forms[0].digest) == layer.diff_id
        found = store.layers.get(layer.diff_id)
        assert found and found.blob == forms[1]

    def test_a_foreign_layer_keeps_the_blob_it_came_from(self, store: Store) -> None:
        source = Descriptor("gzip", Digest.of(b"gz"), 2)
        layer = add_layer(store, "one", blob=source)
        store.layers.set_blob(layer.diff_id, Descriptor("zstd", Digest.of(b"zst"), 3))
        found = store.layers.get(layer.diff_id)
        assert found and found.blob == source and len(store.layers.known_blobs(layer.diff_id)) == 2

    def test_forms_of_an_unknown_layer_are_not_remembered(self, store: Store) -> None:
        store.layers.set_blob(DiffID.of(b"?"), Descriptor("gzip", Digest.of(b"gz"), 2))
        assert store.layers.known_blobs(DiffID.of(b"?")) == []


class TestRecords:
    def test_a_record_counts_its_uses(self, store: Store) -> None:
        layer = add_layer(store, "one")
        record = Record("ab", layer.diff_id, b'{"x":1}', 5, 5)
        store.records.add(record)
        assert store.records.get("ab") == record and store.records.get("cd") is None
        store.records.touch(["ab", "cd"])
        found = store.records.get("ab")
        assert found and found.uses == 1 and found.last_used > 5

    def test_the_last_one_with_a_key_stays(self, store: Store) -> None:
        store.records.add(Record("ab", None, b"1", 5, 5))
        store.records.add(Record("ab", add_layer(store, "one").diff_id, b"2", 6, 6))
        assert [record.value for record in store.records.all()] == [b"2"]
        assert store.records.delete("ab") and not store.records.delete("ab")

    def test_a_record_of_a_missing_layer_is_refused(self, store: Store) -> None:
        store.records.add(Record("ab", None, b"1", 5, 5))
        with pytest.raises(NotFound, match="is not in the store"):
            store.records.add(Record("ab", DiffID.of(b"?"), b"2", 6, 6))


class TestHolds:
    def test_a_hold_changes_its_state_in_place(self, store: Store) -> None:
        image = add_image(store, "one")
        store.holds.set(Hold("container", "c1", "web", image.id, False))
        store.holds.set(Hold("container", "c1", "web", image.id, True))
        assert store.holds.of_image(image.id) == [Hold("container", "c1", "web", image.id, True)]
        assert store.holds.delete("container", "c1") and not store.holds.delete("container", "c1")
        assert list(store.holds.all()) == []


def test_two_stores_see_each_other(store: Store, store_root: Path) -> None:
    image = add_image(store, "one", tags=["one"])
    with Store.open(store_root) as other:
        assert other.tags.get(Reference.parse("one").tagged()).image == image.id  # type: ignore[union-attr]


def test_a_config_that_went_with_its_image_is_no_damage(store: Store) -> None:
    kept, gone = add_image(store, "kept"), add_image(store, "gone")
    store.images.delete(gone.id)
    store.leases.close()
    collect(store)
    with pytest.raises(NotFound, match="removed meanwhile"):
        store.images.config(gone.id)
    store.blobs.delete(kept.id)
    with pytest.raises(BlobNotFound):
        store.images.config(kept.id)
