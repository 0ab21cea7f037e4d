"""What every MetadataStore does about what it no longer needs. A test class inherits this and gives a fixture `metadata`."""

from __future__ import annotations

import time

import pytest

from image.digest import Digest
from registry.server.metadata.protocol import Allowance, ImmutableTag, MetadataStore, QuotaExceeded
from registry.server.metadata.upkeep import Limits, TagRecord
from tests.suites.metadata import ONE, TWO, record

HOUR = 3600 * 10**9


def due(released: int = 0, pushed: int = 0, untagged: bool = True) -> Limits:
    """What has waited for so many nanoseconds."""
    now = time.time_ns()
    return Limits(now - released, now - pushed, untagged)


def collect(metadata: MetadataStore, limits: Limits | None = None) -> set[Digest]:
    """Everything that is due, to the end; whose bytes may go."""
    while metadata.review(limits or due(), 10)[0]:
        pass
    return metadata.forget_bytes(metadata.due_bytes(limits or due(), 100))


class UpkeepSuite:
    def test_a_blob_that_no_manifest_needs_goes(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        assert collect(metadata) == {ONE}
        assert metadata.blob_size("a", ONE) is None and metadata.tags("a", "", 1) is None

    def test_nothing_goes_before_its_time(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        metadata.put_manifest("a", record(b"m", blobs=(TWO,)), [])
        assert collect(metadata, due(released=0, pushed=HOUR)) == set()
        metadata.link_blob("a", TWO, 7)
        metadata.delete_manifest("a", Digest.of(b"m"))
        assert collect(metadata, due(released=HOUR, pushed=0)) == set()
        assert metadata.blob_size("a", ONE) is None and metadata.blob_size("a", TWO) == 7

    def test_a_blob_that_a_manifest_needs_stays(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        metadata.put_manifest("a", record(b"m", blobs=(ONE,)), ["1"])
        assert collect(metadata) == set() and metadata.blob_size("a", ONE) == 7
        assert metadata.doubted("a", ONE) is None

    def test_a_manifest_that_comes_before_its_blob_keeps_it_too(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m", blobs=(ONE,)), ["1"])
        metadata.link_blob("a", ONE, 7)
        assert collect(metadata) == set() and metadata.blob_size("a", ONE) == 7

    def test_another_repositorys_manifest_keeps_nothing_here(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        metadata.mount_blob("b", ONE, "a")
        metadata.put_manifest("b", record(b"m", blobs=(ONE,)), ["1"])
        assert collect(metadata) == set()
        assert metadata.blob_size("a", ONE) is None and metadata.blob_size("b", ONE) == 7

    def test_a_manifest_that_lost_its_tag_goes_with_its_blobs(self, metadata: MetadataStore) -> None:
        for digest in (ONE, TWO):
            metadata.link_blob("a", digest, 7)
        metadata.put_manifest("a", record(b"old", blobs=(ONE, TWO)), ["1"])
        metadata.put_manifest("a", record(b"new", blobs=(TWO,)), ["1"])
        assert metadata.manifest("a", Digest.of(b"old"))
        assert collect(metadata) == {ONE}
        assert metadata.manifest("a", Digest.of(b"old")) is None and metadata.manifest("a", "1")

    def test_untagged_manifests_stay_where_that_is_wanted(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m"), [])
        collect(metadata, due(untagged=False))
        assert metadata.manifest("a", Digest.of(b"m"))
        collect(metadata)
        assert metadata.manifest("a", Digest.of(b"m")) is None

    @pytest.mark.parametrize("tagged_first", [True, False])
    def test_an_index_keeps_its_children(self, metadata: MetadataStore, tagged_first: bool) -> None:
        child, index = record(b"child"), record(b"index", children=(Digest.of(b"child"),))
        for one in (index, child) if tagged_first else (child, index):
            metadata.put_manifest("a", one, ["1"] if one is index else [])
        collect(metadata)
        assert metadata.manifest("a", child.digest)
        metadata.delete_tag("a", "1")
        collect(metadata)
        assert metadata.manifest("a", child.digest) is None and metadata.manifest("a", index.digest) is None

    @pytest.mark.parametrize("subject_first", [True, False])
    def test_a_subject_keeps_its_referrers(self, metadata: MetadataStore, subject_first: bool) -> None:
        subject, signature = record(b"image"), record(b"signature", subject=Digest.of(b"image"))
        for one in (subject, signature) if subject_first else (signature, subject):
            metadata.put_manifest("a", one, ["1"] if one is subject else [])
        collect(metadata)
        assert metadata.manifest("a", signature.digest)
        metadata.delete_manifest("a", subject.digest)
        collect(metadata)
        assert metadata.manifest("a", signature.digest) is None

    def test_what_is_tagged_again_in_time_stays(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m"), ["1"])
        metadata.delete_tag("a", "1")
        metadata.put_manifest("a", record(b"m"), ["2"])
        collect(metadata)
        assert metadata.manifest("a", "2")

    def test_who_asks_for_it_makes_it_wait_as_if_new(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m"), ["1"])
        metadata.delete_tag("a", "1")
        before = metadata.doubted("a", Digest.of(b"m"))
        assert before is not None and not before.pushed
        metadata.postpone("a", Digest.of(b"m"))
        after = metadata.doubted("a", Digest.of(b"m"))
        assert after is not None and after.since > before.since and after.pushed
        metadata.postpone("a", TWO)
        assert metadata.doubted("a", TWO) is None

    def test_bytes_that_are_linked_again_stay(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        metadata.unlink_blob("a", ONE)
        assert metadata.due_bytes(due(), 10) == [ONE] and metadata.due_bytes(due(released=HOUR), 10) == []
        metadata.link_blob("b", ONE, 7)
        assert metadata.forget_bytes([ONE]) == set() and metadata.due_bytes(due(), 10) == []

    def test_what_nobody_knows_is_adopted_once(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        assert metadata.adopt([ONE, TWO]) == 1 and metadata.adopt([ONE, TWO]) == 0
        assert metadata.due_bytes(due(), 10) == [TWO]

    def test_it_says_who_needs_a_blob(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 7)
        idle = metadata.standing(ONE)
        assert (idle.manifest, idle.idle, idle.pushed) == ("", "a", True) and idle.since
        metadata.put_manifest("a", record(b"m", blobs=(ONE,)), ["1"])
        needed = metadata.standing(ONE)
        assert (needed.repository, needed.manifest, needed.tag) == ("a", Digest.of(b"m"), "1")
        metadata.delete_manifest("a", Digest.of(b"m"))
        metadata.unlink_blob("a", ONE)
        gone = metadata.standing(ONE)
        assert (gone.manifest, gone.idle, gone.pushed) == ("", "", False) and gone.since
        assert metadata.standing(TWO).since is None

    # --- quotas

    def test_a_quota_counts_each_blob_once_and_manifests_too(self, metadata: MetadataStore) -> None:
        allowance = Allowance(repository=20, registry=25)
        for _ in range(2):
            metadata.link_blob("a", ONE, 15, allowance)
        metadata.mount_blob("b", ONE, "a", allowance)
        assert [metadata.used(name) for name in ("a", "b", None, "none")] == [15, 15, 15, 0]
        with pytest.raises(QuotaExceeded, match=r"the repository a uses 15B, and 6B more would pass its quota of 20B"):
            metadata.link_blob("a", TWO, 6, allowance)
        with pytest.raises(QuotaExceeded, match="the registry"):
            metadata.link_blob("c", TWO, 11, allowance)
        with pytest.raises(QuotaExceeded):
            metadata.put_manifest("a", record(b"six by"), ["1"], allowance=allowance)
        assert metadata.blob_size("a", TWO) is None and metadata.tags("c", "", 1) is None
        metadata.put_manifest("a", record(b"five!"), ["1"], allowance=allowance)
        assert (metadata.used("a"), metadata.used(None)) == (20, 20)

    def test_what_goes_gives_its_bytes_back(self, metadata: MetadataStore) -> None:
        metadata.link_blob("a", ONE, 15)
        metadata.mount_blob("b", ONE, "a")
        metadata.put_manifest("b", record(b"m"), ["1"])
        metadata.unlink_blob("b", ONE)
        assert (metadata.used("b"), metadata.used(None)) == (1, 16)
        metadata.delete_manifest("b", Digest.of(b"m"))
        collect(metadata)
        assert (metadata.used("a"), metadata.used("b"), metadata.used(None)) == (0, 0, 0)

    # --- tags

    def test_an_immutable_tag_neither_moves_nor_goes_with_its_manifest(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"m"), ["1"], fixed=["1"])
        metadata.put_manifest("a", record(b"m"), ["1"], fixed=["1"])
        with pytest.raises(ImmutableTag, match="1 is immutable"):
            metadata.put_manifest("a", record(b"other"), ["2", "1"], fixed=["1"])
        with pytest.raises(ImmutableTag):
            metadata.delete_manifest("a", Digest.of(b"m"), lambda tag: tag == "1")
        assert metadata.tags("a", "", 9) == ["1"] and metadata.manifest("a", Digest.of(b"other")) is None

    def test_tags_tell_when_they_were_pushed_and_pulled(self, metadata: MetadataStore) -> None:
        begun = time.time_ns()
        metadata.put_manifest("a", record(b"m"), ["1", "2", "3"])
        metadata.note_pulls([("a", "1"), ("a", "none"), ("none", "1")], 5)
        first, *rest = metadata.tag_records("a", "", 10)
        assert (first.name, first.pulled, first.digest) == ("1", 5, Digest.of(b"m")) and first.pushed >= begun
        assert [(one.name, one.pulled) for one in rest] == [("2", 0), ("3", 0)]
        metadata.note_pulls([("a", str(Digest.of(b"m")))], 9)
        assert [one.pulled for one in metadata.tag_records("a", "1", 1)] == [9]

    def test_a_tag_that_was_pushed_meanwhile_is_not_deleted(self, metadata: MetadataStore) -> None:
        metadata.put_manifest("a", record(b"old"), ["1", "2", "3"])
        seen = metadata.tag_records("a", "", 10)
        metadata.put_manifest("a", record(b"new"), ["1"])
        metadata.put_manifest("a", record(b"old"), ["2"])
        metadata.note_pulls([("a", "3")], 5)
        assert metadata.untag("a", [*seen, TagRecord("4", seen[0].digest, 1)]) == ["3"]
        assert metadata.tags("a", "", 9) == ["1", "2"] and metadata.untag("none", seen) == []
