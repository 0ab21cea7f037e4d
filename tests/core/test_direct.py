"""Files written past the page cache: the same bytes as ever, wherever the pieces end and whatever the file system thinks of it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from core.direct import PIECE_BYTES, DirectFile

SIZES = [0, 1, 4096, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 511]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [777_777, PIECE_BYTES, 3 * PIECE_BYTES])
@pytest.mark.parametrize("where", ["a disk", "memory"])
def test_what_is_written_is_there(tmp_path: Path, size: int, piece: int, where: str) -> None:
    data = random.Random(size).randbytes(size)
    path = (Path("/dev/shm") if where == "memory" else tmp_path) / f"lamella-direct-{os.getpid()}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        file = DirectFile(fd)
        for at in range(0, size, piece):
            file.write(memoryview(data)[at : at + piece])
        file.flush()
        file.close()
        file.close()
        assert path.read_bytes() == data
    finally:
        os.close(fd)
        path.unlink()


def test_a_disk_that_will_not_have_it_gets_it_through_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As file systems do that take the flag and refuse the write."""
    real, refused = os.write, []

    def write(fd: int, data: memoryview) -> int:
        if not refused:
            refused.append(fd)
            raise OSError(22, "Invalid argument")
        return real(fd, data)

    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    monkeypatch.setattr(os, "write", write)
    file = DirectFile(fd)
    file.write(b"x" * (2 * PIECE_BYTES + 7))
    file.flush()
    file.close()
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"x" * (2 * PIECE_BYTES + 7) and refused
