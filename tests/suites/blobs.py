"""What every BlobStore must do. A test class inherits this and gives a fixture `blobs`, and `damage` to spoil a blob."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from core.errors import Integrity
from image.digest import Digest
from store.blobs import BlobDamaged, BlobNotFound, BlobStore

Damage = Callable[[Digest, bytes], None]
DATA = b"lamella " * 1000


class BlobStoreSuite:
    def test_what_was_committed_can_be_read(self, blobs: BlobStore) -> None:
        with blobs.writer() as writer:
            writer.write(DATA[:100])
            writer.write(memoryview(DATA)[100:])
            blob = writer.commit()
        assert blob.digest == Digest.of(DATA) and blob.size == len(DATA)
        assert blobs.stat(blob.digest) == len(DATA)
        assert blobs.read(blob.digest, 1 << 20) == DATA

    def test_nothing_has_a_name_before_its_commit(self, blobs: BlobStore) -> None:
        with blobs.writer() as writer:
            writer.write(DATA)
            assert blobs.stat(Digest.of(DATA)) is None
            assert list(blobs.walk()) == []
        assert blobs.stat(Digest.of(DATA)) is None

    def test_a_commit_of_other_bytes_than_expected_is_refused(self, blobs: BlobStore) -> None:
        with pytest.raises(Integrity, match="not to"), blobs.writer() as writer:
            writer.write(DATA)
            writer.commit(Digest.of(b"other"))
        assert list(blobs.walk()) == []

    def test_adding_twice_is_harmless(self, blobs: BlobStore) -> None:
        assert blobs.add(DATA) == blobs.add(DATA) == Digest.of(DATA)
        assert list(blobs.walk()) == [Digest.of(DATA)]

    def test_aborting_is_harmless_at_any_time(self, blobs: BlobStore) -> None:
        writer = blobs.writer()
        writer.write(DATA)
        writer.commit()
        writer.abort()
        assert blobs.read(Digest.of(DATA), 1 << 20) == DATA
        other = blobs.writer()
        other.abort()
        other.abort()

    def test_two_writers_of_the_same_bytes_both_succeed(self, blobs: BlobStore) -> None:
        with blobs.writer() as one, blobs.writer() as two:
            one.write(DATA)
            two.write(DATA)
            assert one.commit() == two.commit()
        assert list(blobs.walk()) == [Digest.of(DATA)]

    def test_other_algorithms_are_kept_apart(self, blobs: BlobStore) -> None:
        expected = Digest(f"sha512:{hashlib.sha512(DATA).hexdigest()}")
        with blobs.writer("sha512") as writer:
            writer.write(DATA)
            assert writer.commit(expected).digest == expected
        assert blobs.read(expected, 1 << 20) == DATA
        assert blobs.stat(Digest.of(DATA)) is None

    def test_an_empty_blob_is_a_blob(self, blobs: BlobStore) -> None:
        digest = blobs.add(b"")
        assert blobs.read(digest, 10) == b"" and blobs.stat(digest) == 0

    def test_a_missing_blob_is_not_found(self, blobs: BlobStore) -> None:
        with pytest.raises(BlobNotFound, match="no such blob: sha256:"):
            blobs.open(Digest.of(DATA))
        assert blobs.stat(Digest.of(DATA)) is None
        assert not blobs.delete(Digest.of(DATA))

    def test_deleting_ends_a_blob(self, blobs: BlobStore) -> None:
        digest = blobs.add(DATA)
        assert blobs.delete(digest) and not blobs.delete(digest)
        assert blobs.stat(digest) is None

    def test_reading_stops_at_the_limit(self, blobs: BlobStore) -> None:
        with pytest.raises(Integrity, match="at most 10"):
            blobs.read(blobs.add(DATA), 10)

    @pytest.mark.parametrize("spoilt", [DATA[:-1] + b"!", DATA[:-1], DATA + b"more"])
    def test_the_read_that_ends_a_damaged_blob_says_so(self, blobs: BlobStore, damage: Damage, spoilt: bytes) -> None:
        digest = blobs.add(DATA)
        damage(digest, spoilt)
        with blobs.open(digest) as file, pytest.raises(BlobDamaged, match=digest) as caught:
            for _ in range(100):
                file.read(1000)
        assert "lamella fsck" in (caught.value.hint or "")

    def test_a_blob_cut_to_nothing_is_damaged(self, blobs: BlobStore, damage: Damage) -> None:
        digest = blobs.add(DATA)
        damage(digest, b"")
        with pytest.raises(BlobDamaged):
            blobs.read(digest, 1 << 20)

    def test_reading_a_part_promises_nothing_and_hurts_nobody(self, blobs: BlobStore, damage: Damage) -> None:
        digest = blobs.add(DATA)
        damage(digest, b"!" + DATA[1:])
        with blobs.open(digest) as file:
            assert len(file.read(10)) == 10

    def test_lines_come_whole(self, blobs: BlobStore) -> None:
        with blobs.open(blobs.add(b"one\ntwo\n\nlast")) as file:
            assert list(file.lines()) == [b"one\n", b"two\n", b"\n", b"last"]
