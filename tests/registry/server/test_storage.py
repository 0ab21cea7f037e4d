"""The server's blob stores keep their contract; uploads on disk go on in another process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import Integrity, Unavailable
from image.digest import Digest
from registry.server.storage import model
from registry.server.storage.disk import DiskRegistryBlobs
from registry.server.storage.memory import MemoryRegistryBlobs
from registry.server.storage.model import Model
from registry.server.storage.protocol import RegistryBlobs
from registry.server.storage.uploads import DiskUpload
from tests.suites.registry_blobs import DATA, RegistryBlobsSuite


class TestMemory(RegistryBlobsSuite):
    @pytest.fixture
    def uploads(self) -> RegistryBlobs:
        return MemoryRegistryBlobs()


class TestDisk(RegistryBlobsSuite):
    @pytest.fixture
    def uploads(self, tmp_path: Path) -> Iterator[RegistryBlobs]:
        before = len(os.listdir("/proc/self/fd"))
        yield DiskRegistryBlobs(tmp_path)
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # those a test kept on purpose


def test_an_upload_goes_on_where_another_process_stopped(tmp_path: Path) -> None:
    first = DiskRegistryBlobs(tmp_path)
    upload = first.start("a")
    taken = first.resume("a", upload)
    assert taken is not None
    taken.append([DATA[:1000]])
    taken.release()

    second = DiskRegistryBlobs(tmp_path)
    taken = second.resume("a", upload)
    assert taken is not None and taken.offset == 1000
    taken.append([DATA[1000:]])
    assert taken.commit(Digest.of(DATA)).size == len(DATA)


def test_two_processes_that_take_turns_hash_what_they_did_not_write(tmp_path: Path) -> None:
    stores = [DiskRegistryBlobs(tmp_path), DiskRegistryBlobs(tmp_path)]
    upload = stores[0].start("a")
    for number, start in enumerate(range(0, len(DATA), 100_000)):
        taken = stores[number % 2].resume("a", upload)
        assert taken is not None
        taken.append([DATA[start : start + 100_000]])
        taken.release()
    taken = stores[0].resume("a", upload)
    assert taken is not None
    assert taken.commit(Digest.of(DATA)).digest == Digest.of(DATA)
    assert stores[1].read(Digest.of(DATA), 1 << 20) == DATA


def test_bytes_that_repeat_a_damaged_blob_do_not(tmp_path: Path) -> None:
    blobs = DiskRegistryBlobs(tmp_path)
    digest = blobs.add(DATA)
    blobs.path(digest).chmod(0o600)
    blobs.path(digest).write_bytes(DATA[:-1] + b"x")
    for content in (DATA, DATA[:-1] + b"x"):
        taken = blobs.resume("a", blobs.start("a"))
        assert taken is not None
        taken.append([content])
        assert not taken.repeats(digest)
        taken.cancel()


def test_what_is_there_is_not_written_again_unless_it_was_damaged_meanwhile(tmp_path: Path) -> None:
    blobs = DiskRegistryBlobs(tmp_path)
    digest = blobs.add(DATA)
    for damaged in (False, True):
        taken = blobs.resume("a", blobs.start("a"))
        assert taken is not None
        taken.expect(digest, len(DATA))
        taken.append([DATA[:500_000]])
        if damaged:
            blobs.path(digest).chmod(0o600)
            os.truncate(blobs.path(digest), 600_000)
        taken.append([DATA[500_000:]])
        (upload,) = (tmp_path / "uploads").iterdir()
        assert upload.stat().st_size == (len(DATA) if damaged else 0)
        assert taken.repeats(digest) is not damaged
        if damaged:
            assert taken.commit(digest).size == len(DATA)
        taken.cancel()
    assert blobs.read(digest, 1 << 20) == DATA


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared is known at once, not only two seconds after its last change."""
    monkeypatch.setattr(model, "RACY_NANOSECONDS", -(10**12))


def begun(blobs: DiskRegistryBlobs, digest: Digest, content: bytes) -> DiskUpload:
    """An upload of `content` that is said to be `digest`."""
    taken = blobs.resume("a", blobs.start("a"))
    assert taken is not None
    taken.expect(digest, len(DATA))
    taken.append([content])
    return taken


def compared(root: Path) -> tuple[DiskRegistryBlobs, Digest]:
    """A store that has compared its one blob with what came."""
    blobs = DiskRegistryBlobs(root)
    digest = blobs.add(DATA)
    taken = begun(blobs, digest, DATA)
    assert taken.repeats(digest)
    taken.cancel()
    return blobs, digest


def test_what_was_compared_once_is_not_read_again(
    tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, digest = compared(tmp_path)
    monkeypatch.setattr(Model, "read", None)
    monkeypatch.setattr(os, "preadv", None)
    first = begun(blobs, digest, DATA)
    assert first.repeats(digest)
    first.cancel()
    chunked = blobs.resume("a", blobs.start("a"))
    assert chunked is not None
    chunked.append([DATA])
    assert chunked.repeats(digest)


def test_other_bytes_under_a_known_digest_are_refused(tmp_path: Path, at_once: None) -> None:
    blobs, digest = DiskRegistryBlobs(tmp_path), Digest.of(DATA)
    blobs.add(DATA)
    taken = begun(blobs, digest, b"x" + DATA[1:])
    assert not taken.repeats(digest)
    with pytest.raises(Integrity):
        taken.commit(digest)
    assert blobs.read(digest, 1 << 20) == DATA and not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize(("start", "kept"), [(DATA[:1], 500_000), (b"x", 0)])
def test_an_upload_of_a_known_blob_that_breaks_off_goes_on_with_what_came(
    tmp_path: Path, at_once: None, start: bytes, kept: int
) -> None:
    blobs, digest = compared(tmp_path)
    begun(blobs, digest, start + DATA[1:500_000]).release()
    (upload,) = (tmp_path / "uploads").iterdir()
    taken = blobs.resume("a", upload.name.partition(".")[0])
    assert taken is not None and taken.offset == kept
    taken.append([DATA[kept:]])
    assert taken.commit(digest).size == len(DATA)


def test_a_known_blob_that_was_damaged_is_compared_again(tmp_path: Path, at_once: None) -> None:
    blobs, digest = compared(tmp_path)
    blobs.path(digest).chmod(0o600)
    blobs.path(digest).write_bytes(DATA[:-1] + b"x")
    taken = begun(blobs, digest, DATA)
    assert not taken.repeats(digest)
    assert taken.commit(digest).size == len(DATA) and begun(blobs, digest, DATA).repeats(digest)
    taken = begun(blobs, digest, DATA)  # known now, and damaged while it comes in
    blobs.path(digest).chmod(0o600)
    blobs.path(digest).write_bytes(DATA[:-1] + b"x")
    assert not taken.repeats(digest)
    with pytest.raises(Unavailable):
        taken.commit(digest)


def test_a_blob_that_is_replaced_while_it_is_compared_is_not_what_was_compared(tmp_path: Path) -> None:
    blobs = DiskRegistryBlobs(tmp_path)
    digest = blobs.add(DATA)
    taken = blobs.resume("a", blobs.start("a"))
    assert taken is not None
    taken.expect(digest, len(DATA))
    taken.append([DATA])
    blobs.delete(digest)
    assert not taken.repeats(digest)
    blobs.path(digest).write_bytes(b"x" * len(DATA))
    assert not taken.repeats(digest)
    assert taken.commit(digest).size == len(DATA) and blobs.read(digest, 1 << 20) == DATA
