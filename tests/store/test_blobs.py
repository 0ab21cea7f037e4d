"""Blobs on disk and in memory: one contract, and what only a disk can do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import Unavailable
from core.locks import is_locked
from image.digest import Digest
from store.disk import DiskBlobs, DiskBlobWriter
from store.memory import MemoryBlobs
from store.temporary import Temporaries
from tests.conftest import ROOT, needs
from tests.suites.blobs import DATA, BlobStoreSuite, Damage
from tests.suites.contained import inside


class TestMemoryBlobs(BlobStoreSuite):
    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        return MemoryBlobs()

    @pytest.fixture
    def damage(self, blobs: MemoryBlobs) -> Damage:
        return blobs.keep


class _Aside(DiskBlobs):
    """All of whose blobs go past the page cache."""

    def writer(self, algorithm: str = "sha256", *, aside: bool = True) -> DiskBlobWriter:
        return super().writer(algorithm, aside=aside)


class TestBlobsAside(BlobStoreSuite):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> DiskBlobs:
        return _Aside(tmp_path)

    @pytest.fixture
    def damage(self, blobs: DiskBlobs) -> Damage:
        return _spoiler(blobs)


def _spoiler(blobs: DiskBlobs) -> Damage:
    def spoil(digest: Digest, data: bytes) -> None:
        blobs.path(digest).chmod(0o644)
        blobs.path(digest).write_bytes(data)

    return spoil


class TestDiskBlobs(BlobStoreSuite):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> DiskBlobs:
        return DiskBlobs(tmp_path)

    @pytest.fixture
    def damage(self, blobs: DiskBlobs) -> Damage:
        return _spoiler(blobs)

    def test_a_blob_is_a_read_only_file_named_by_its_digest(self, blobs: DiskBlobs, tmp_path: Path) -> None:
        digest = blobs.add(DATA)
        path = tmp_path / "blobs/sha256" / digest.hex[:2] / digest.hex
        assert path.read_bytes() == DATA and path.stat().st_mode & 0o777 == 0o444

    def test_adding_heals_a_damaged_blob(self, blobs: DiskBlobs, damage: Damage) -> None:
        digest = blobs.add(DATA)
        damage(digest, b"rot")
        blobs.add(DATA)
        assert blobs.read(digest, 1 << 20) == DATA

    def test_a_temporary_file_is_locked_while_it_is_written(self, blobs: DiskBlobs, tmp_path: Path) -> None:
        with blobs.writer() as writer:
            (temporary,) = (tmp_path / "tmp").iterdir()
            assert is_locked(temporary)
            writer.abort()
            assert list((tmp_path / "tmp").iterdir()) == []

    def test_protect_comes_before_the_name(self, tmp_path: Path) -> None:
        seen: list[int | None] = []
        blobs = DiskBlobs(tmp_path, protect=lambda digest: seen.append(DiskBlobs(tmp_path).stat(digest)))
        blobs.add(DATA)
        assert seen and set(seen) == {None}

    def test_what_a_killed_writer_left_is_known_to_be_dead(self, tmp_path: Path) -> None:
        script = (
            "import sys, time; from pathlib import Path; from store.disk import DiskBlobs\n"
            "w = DiskBlobs(Path(sys.argv[1])).writer(); w.write(bytes(5000)); print('ready', flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout and process.stdout.readline()
        assert list(Temporaries(tmp_path).dead()) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert [path for _, path in Temporaries(tmp_path).dead()] == list((tmp_path / "tmp").iterdir()) != []

    @needs("mount")
    @pytest.mark.parametrize("kind", [DiskBlobs, _Aside])
    def test_a_full_disk_is_told_and_leaves_nothing(self, tmp_path: Path, kind: type[DiskBlobs]) -> None:
        def work() -> None:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=True)
            blobs = kind(tmp_path)
            with pytest.raises(Unavailable, match="no space left") as caught, blobs.writer() as writer:
                for _ in range(4):
                    writer.write(os.urandom(1 << 20))
                writer.commit()
            assert "lamella image prune" in (caught.value.hint or "")
            assert list((tmp_path / "tmp").iterdir()) == [] and list(blobs.walk()) == []
            assert blobs.stat(blobs.add(DATA)) == len(DATA)

        inside(work)
