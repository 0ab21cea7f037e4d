"""What every RegistryBlobs must do beyond a BlobStore. A test class inherits this and gives a fixture `uploads`."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from core.errors import Integrity
from image.digest import Digest
from registry.server.storage.protocol import RegistryBlobs, UploadBusy

DATA = b"lamella " * 100_000


class RegistryBlobsSuite:
    def test_an_upload_in_several_requests_becomes_a_blob(self, uploads: RegistryBlobs) -> None:
        upload = uploads.start("a/b")
        for start in range(0, len(DATA), 300_000):
            taken = uploads.resume("a/b", upload)
            assert taken is not None and taken.offset == start
            taken.append([DATA[start : start + 100_000], DATA[start + 100_000 : start + 300_000]])
            taken.release()
        taken = uploads.resume("a/b", upload)
        assert taken is not None
        blob = taken.commit(Digest.of(DATA))
        taken.release()
        assert blob.size == len(DATA) and uploads.read(blob.digest, 1 << 20) == DATA
        assert uploads.resume("a/b", upload) is None

    def test_content_is_the_blob(self, uploads: RegistryBlobs) -> None:
        content = uploads.content(uploads.add(DATA))
        assert (content.read_bytes() if isinstance(content, Path) else content) == DATA

    def test_an_upload_belongs_to_one_repository(self, uploads: RegistryBlobs) -> None:
        upload = uploads.start("a/b")
        assert uploads.resume("a/c", upload) is None
        assert uploads.resume("a/b", upload) is not None

    @pytest.mark.parametrize("name", ["", "x", "0" * 32, "../" + "0" * 29, "0" * 33])
    def test_an_upload_that_nobody_opened_is_not_there(self, uploads: RegistryBlobs, name: str) -> None:
        assert uploads.resume("a/b", name) is None

    def test_only_one_request_holds_an_upload(self, uploads: RegistryBlobs) -> None:
        upload = uploads.start("a")
        taken = uploads.resume("a", upload)
        assert taken is not None
        with pytest.raises(UploadBusy):
            uploads.resume("a", upload)
        taken.release()
        taken.release()
        assert uploads.resume("a", upload) is not None

    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    @pytest.mark.parametrize("started", ["sha256", "sha512"])
    def test_the_last_word_on_the_algorithm_is_the_commit(
        self, uploads: RegistryBlobs, started: str, algorithm: str
    ) -> None:
        taken = uploads.resume("a", uploads.start("a", started))
        assert taken is not None
        taken.append([DATA])
        digest = Digest(f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}")
        assert taken.commit(digest).digest == digest
        assert uploads.read(digest, 1 << 20) == DATA

    def test_wrong_bytes_end_the_upload_without_a_blob(self, uploads: RegistryBlobs) -> None:
        upload = uploads.start("a")
        taken = uploads.resume("a", upload)
        assert taken is not None
        taken.append([DATA])
        with pytest.raises(Integrity, match="not to"):
            taken.commit(Digest.of(b"other"))
        assert uploads.resume("a", upload) is None and list(uploads.walk()) == []

    def test_an_empty_blob_is_a_blob(self, uploads: RegistryBlobs) -> None:
        taken = uploads.resume("a", uploads.start("a"))
        assert taken is not None and taken.commit(Digest.of(b"")).size == 0
        assert uploads.stat(Digest.of(b"")) == 0

    def test_the_same_blob_twice_is_harmless(self, uploads: RegistryBlobs) -> None:
        for _ in range(2):
            taken = uploads.resume("a", uploads.start("a"))
            assert taken is not None
            taken.append([DATA])
            taken.commit(Digest.of(DATA))
        assert uploads.read(Digest.of(DATA), 1 << 20) == DATA

    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    def test_an_upload_repeats_the_same_bytes_under_their_own_name_alone(
        self, uploads: RegistryBlobs, algorithm: str
    ) -> None:
        digest = Digest.of(DATA, algorithm)
        for known in (False, True):
            taken = uploads.resume("a", uploads.start("a"))
            assert taken is not None
            taken.append([DATA])
            assert taken.repeats(digest) is known and not taken.repeats(Digest.of(b"other"))
            assert taken.commit(digest).size == len(DATA)  # repeating changes nothing
        other = uploads.resume("a", uploads.start("a"))
        assert other is not None
        other.append([DATA[:-1], b"x"])
        assert not other.repeats(digest)
        other.cancel()

    @pytest.mark.parametrize("changed", [0, len(DATA) // 2, len(DATA) - 1, None])
    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    def test_what_was_expected_and_does_not_come_is_no_loss(
        self, uploads: RegistryBlobs, algorithm: str, changed: int | None
    ) -> None:
        data = bytearray(DATA)
        if changed is not None:
            data[changed] ^= 1
        digest = Digest.of(bytes(data), algorithm)
        for size in (len(DATA), 1):
            uploads.add(DATA)
            taken = uploads.resume("a", uploads.start("a"))
            assert taken is not None
            taken.expect(Digest.of(DATA), size)
            for start in range(0, len(data), 100_000):
                taken.append([bytes(data[start : start + 100_000])])
            assert taken.offset == len(data) and taken.repeats(Digest.of(DATA)) is (changed is None)
            assert taken.commit(digest).size == len(data)
            assert uploads.read(digest, 1 << 20) == data

    def test_who_lets_go_in_the_middle_of_what_was_expected_goes_on_there(self, uploads: RegistryBlobs) -> None:
        digest, upload = uploads.add(DATA), uploads.start("a")
        taken = uploads.resume("a", upload)
        assert taken is not None
        taken.expect(digest, len(DATA))
        taken.append([DATA[:300_000]])
        taken.release()
        taken = uploads.resume("a", upload)
        assert taken is not None and taken.offset == 300_000
        taken.expect(digest, len(DATA))
        taken.append([DATA[300_000:]])
        assert taken.repeats(digest) and taken.commit(digest).size == len(DATA)

    def test_a_cancelled_upload_is_gone(self, uploads: RegistryBlobs) -> None:
        upload = uploads.start("a")
        taken = uploads.resume("a", upload)
        assert taken is not None
        taken.cancel()
        assert uploads.resume("a", upload) is None

    def test_old_uploads_expire_but_those_in_use(self, uploads: RegistryBlobs) -> None:
        used, old = uploads.start("a"), uploads.start("a")
        taken = uploads.resume("a", used)
        assert taken is not None
        assert uploads.expire(3600) == 0
        time.sleep(0.02)
        assert uploads.expire(0) == 1
        assert uploads.resume("a", old) is None
        taken.release()
        assert uploads.resume("a", used) is not None

    def test_what_somebody_holds_no_collector_takes(self, uploads: RegistryBlobs) -> None:
        one, two = Digest.of(b"one"), Digest.of(b"two")
        with uploads.hold(one), uploads.hold(one), uploads.exclude([one, two]) as free:
            assert free == [two]
            with uploads.exclude([two]) as again:
                assert again == []
        with uploads.exclude([one]) as free:
            assert free == [one]

    def test_who_wants_to_hold_waits_for_the_collector(self, uploads: RegistryBlobs) -> None:
        one, order = Digest.of(b"one"), list[str]()

        def push() -> None:
            with uploads.hold(one):
                order.append("pushed")

        thread = threading.Thread(target=push)
        with uploads.exclude([one]):
            thread.start()
            time.sleep(0.1)
            order.append("collected")
        thread.join()
        assert order == ["collected", "pushed"]
