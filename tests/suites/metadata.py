"""What every MetadataStore must do. A test class inherits this and gives a fixture `metadata`."""

from __future__ import annotations

import threading

from image.digest import Digest
from registry.server.metadata.protocol import ManifestRecord, MetadataStore

ONE, TWO, THREE = (Digest.of(text) for text in (b"one", b"two", b"three"))


def record(content: bytes, **fields: object) -> ManifestRecord:
    return ManifestRecord(Digest.of(content), "application/x+json", content, **fields)  # type: ignore[arg-type]


class MetadataSuite:
    def test_a_linked_blob_belongs_to_its_repository_alone(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        metadata.link_blob("a", ONE, 7)
        assert metadata.blob_size("a", ONE) == 7
        assert metadata.blob_size("b", ONE) is None and metadata.blob_size("a", TWO) is None

    def test_a_mount_needs_the_blob_at_its_source(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        assert not metadata.mount_blob("c", ONE, "b")
        assert not metadata.mount_blob("c", TWO, None)
        assert metadata.blob_size("c", ONE) is None
        assert metadata.mount_blob("b", ONE, "a") and metadata.blob_size("b", ONE) == 7
        assert metadata.mount_blob("c", ONE, None) and metadata.blob_size("c", ONE) == 7

    def test_an_unlinked_blob_stays_elsewhere(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        metadata.mount_blob("b", ONE, "a")
        assert metadata.unlink_blob("a", ONE)
        assert not metadata.unlink_blob("a", ONE) and not metadata.unlink_blob("none", ONE)
        assert metadata.blob_size("a", ONE) is None and metadata.blob_size("b", ONE) == 7

    def test_what_is_missing_is_told_once(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        assert metadata.put_manifest("a", record(b"m"), []) == []
        child = Digest.of(b"m")
        index = record(b"index", blobs=(ONE, TWO, TWO), children=(child, THREE))
        assert metadata.put_manifest("a", index, []) == [TWO, THREE]
        assert metadata.put_manifest("b", index, []) == [ONE, TWO, child, THREE]

    def test_a_manifest_is_found_by_digest_and_by_tag_as_it_was_pushed(self, metadata: MetadataStore) -> None:
        content = b'{ "odd":  "\xc3\xa4 bytes" }\n'
        metadata.put_manifest("a", record(content), ["v1", "latest"])
        for reference in (Digest.of(content), "v1", "latest"):
            found = metadata.manifest("a", reference)
            assert found and found.content == content and found.media_type == "application/x+json"
        assert metadata.manifest("a", "v2") is None and metadata.manifest("b", "v1") is None

    def test_a_tag_moves_and_its_old_manifest_stays(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"old"), ["v1"])
        metadata.put_manifest("a", record(b"new"), ["v1"])
        found = metadata.manifest("a", "v1")
        assert found and found.content == b"new"
        assert metadata.manifest("a", Digest.of(b"old"))

    def test_pushing_again_changes_the_media_type_alone(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m"), ["v1"])
        metadata.put_manifest("a", ManifestRecord(Digest.of(b"m"), "application/y+json", b"m"), [])
        found = metadata.manifest("a", "v1")
        assert found and found.media_type == "application/y+json" and found.content == b"m"

    def test_deleting_a_manifest_deletes_its_tags(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m"), ["v1", "v2"])
        metadata.put_manifest("a", record(b"other"), ["v3"])
        assert metadata.delete_manifest("a", Digest.of(b"m"))
        assert not metadata.delete_manifest("a", Digest.of(b"m"))
        assert metadata.tags("a", "", 10) == ["v3"] and metadata.manifest("a", "v1") is None

    def test_deleting_a_tag_leaves_the_manifest(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m"), ["v1", "v2"])
        assert metadata.delete_tag("a", "v1") and not metadata.delete_tag("a", "v1")
        assert metadata.tags("a", "", 10) == ["v2"] and metadata.manifest("a", Digest.of(b"m"))

    def test_tags_are_sorted_by_bytes_and_paged(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m"), ["b", "B", "a", "_", "10", "9"])
        assert metadata.tags("a", "", 100) == ["10", "9", "B", "_", "a", "b"]
        assert metadata.tags("a", "9", 2) == ["B", "_"]
        assert metadata.tags("a", "", 0) == []
        assert metadata.tags("none", "", 10) is None

    def test_repositories_without_a_manifest_are_not_listed(self, metadata: MetadataStore) -> None:
        metadata.link_blob("blobs/only", ONE, 7)
        for name in ("b", "a/x", "a"):
            metadata.put_manifest(name, record(name.encode()), ["1"])
        assert metadata.repositories("", 10) == ["a", "a/x", "b"]
        assert metadata.repositories("a", 1) == ["a/x"]
        metadata.delete_manifest("a/x", Digest.of(b"a/x"))
        assert metadata.repositories("", 10) == ["a", "b"]

    def test_referrers_are_found_by_subject_and_filtered_by_type(self, metadata: MetadataStore) -> None:
        notes = {"made": "ä"}
        metadata.put_manifest("a", record(b"sig", subject=ONE, artifact_type="t/sig", annotations=notes), [])
        metadata.put_manifest("a", record(b"sbom", subject=ONE, artifact_type="t/sbom"), [])
        metadata.put_manifest("a", record(b"else", subject=TWO, artifact_type="t/sig"), [])
        metadata.put_manifest("b", record(b"sig", subject=ONE, artifact_type="t/sig"), [])
        found = metadata.referrers("a", ONE, "", "", 10)
        assert [one.digest for one in found] == sorted([Digest.of(b"sig"), Digest.of(b"sbom")])
        (only,) = metadata.referrers("a", ONE, "t/sig", "", 10)
        assert (only.size, only.artifact_type, dict(only.annotations)) == (3, "t/sig", notes)
        assert metadata.referrers("a", ONE, "", found[0].digest, 10) == found[1:]
        assert metadata.referrers("none", ONE, "", "", 10) == []

    def test_the_version_changes_with_every_write_and_not_otherwise(self, metadata: MetadataStore) -> None:
        def elsewhere(work: object, *args: object) -> None:
            thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
            thread.start()
            thread.join()

        first = metadata.version()
        assert metadata.manifest("a", "1") is None and metadata.version() == first
        elsewhere(metadata.put_manifest, "a", record(b"m"), ["1"])
        second = metadata.version()
        elsewhere(metadata.delete_tag, "a", "1")
        assert len({first, second, metadata.version()}) == 3

    def test_many_writers_at_once_lose_nothing(self, metadata: MetadataStore) -> None:
        def push(number: int) -> None:
            for step in range(10):
                content = f"{number}.{step}".encode()
                metadata.link_blob(f"r{number % 3}", Digest.of(content), 1)
                metadata.put_manifest(f"r{number % 3}", record(content), [content.decode()])

        threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(len(metadata.tags(f"r{n}", "", 1000) or []) for n in range(3)) == 80
        assert metadata.blob_size("r1", Digest.of(b"7.9")) == 1
