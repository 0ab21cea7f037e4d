"""COPY of large files where the file system can share extents: XFS here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.ops.transfer import Copier
from layer.cloned import pack_cloned
from layer.pack import pack
from tests.conftest import needs

pytestmark = needs("mkfs.xfs", "mount")
MIB = 1 << 20
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """An XFS with an empty `source` and `target`."""
    image, place = tmp_path / "image", tmp_path / "xfs"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    subprocess.run(["/sbin/mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    for name in ("source", "target"):
        (place / name).mkdir()
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def copy(place: Path) -> Copier:
    copier = Copier()
    copier.contents(os.open(place / "source", DIRECTORY), os.open(place / "target", DIRECTORY))
    return copier


def age(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be a minute later."""
    later = path.stat().st_ctime_ns + 60 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: later)


def test_a_large_file_takes_no_space_and_is_the_same(xfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(MIB) * 64 + b"end"
    (xfs / "source/large").write_bytes(data)
    (xfs / "source/small").write_bytes(b"small")
    os.sync()
    free = os.statvfs(xfs).f_bavail * os.statvfs(xfs).f_bsize
    age(xfs / "source/large", monkeypatch)
    copier = copy(xfs)
    os.sync()
    assert free - os.statvfs(xfs).f_bavail * os.statvfs(xfs).f_bsize < 8 * MIB
    assert (xfs / "target/large").read_bytes() == data
    assert [one.path for one in copier.clones.values()] == [os.fspath(xfs / "source/large")]
    assert list(copier.clones) == [(xfs / "target/large").stat().st_ino]
    assert pack_cloned(xfs / "target", copier.clones).diff_id == pack(xfs / "target").diff_id


def test_a_context_file_that_changes_after_it_was_copied_changes_no_layer(
    xfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (xfs / "source/large").write_bytes(b"before" * MIB)
    os.utime(xfs / "source/large", (1, 1))  # whatever the clock's steps, a change is another time
    with monkeypatch.context() as later:
        age(xfs / "source/large", later)
        copier = copy(xfs)
    assert copier.clones
    with (xfs / "source/large").open("r+b") as file:
        file.write(b"after!")
    assert (xfs / "target/large").read_bytes() == b"before" * MIB
    assert pack_cloned(xfs / "target", copier.clones).diff_id == pack(xfs / "target").diff_id


def test_a_file_that_was_written_just_now_may_change_unseen(xfs: Path) -> None:
    (xfs / "source/large").write_bytes(b"x" * 2 * MIB)
    assert not copy(xfs).clones and (xfs / "target/large").read_bytes() == b"x" * 2 * MIB
