"""On file systems with small blocks, what SQLite's users share has its room on the disk before it is written: no full disk
can end a process then."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import syscalls
from core.database import Database
from core.errors import Unavailable
from core.shared_memory import BYTES
from tests.conftest import needs

pytestmark = needs("mkfs.ext4", "mount")
TABLE = ["CREATE TABLE t (a INTEGER PRIMARY KEY, b)"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    image, place = tmp_path / "image", tmp_path / "small"
    place.mkdir()
    subprocess.run(["truncate", "-s", "12M", image], check=True)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-b", "1024", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    yield place
    syscalls.unmount(place)


def fill(place: Path) -> None:
    with (place / "filler").open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(b"f" * size)
            except OSError:
                size //= 2
        os.fsync(file.fileno())


def taken(path: Path) -> int:
    return os.stat(f"{path}-shm").st_blocks * 512


def test_all_of_it_is_on_the_disk_from_the_opening_on(small: Path) -> None:
    database = Database(small / "db", "test", TABLE)
    assert taken(database.path) >= BYTES
    database.close()


def test_a_full_disk_is_told(small: Path) -> None:
    Database(small / "db", "test", TABLE).close()
    fill(small)
    with pytest.raises(Unavailable, match=r"cannot open .*db: no space left on device$") as caught:
        Database(small / "db", "test", TABLE)
    assert "lamella image prune" in (caught.value.hint or "")


def test_what_the_last_user_has_left_is_room_enough(small: Path) -> None:
    """As commands leave it, which do not close: a full disk can still be looked at."""
    left = Database(small / "db", "test", TABLE)
    with left.write() as connection:
        connection.execute("INSERT INTO t VALUES (1, 'x')")
    fill(small)
    other = Database(small / "db", "test", TABLE)
    assert other.read().execute("SELECT count(*) FROM t").fetchone()[0] == 1
    with pytest.raises(Unavailable, match="no space left"), other.write() as connection:
        connection.executemany("INSERT INTO t VALUES (NULL, ?)", [("y" * 900,)] * 5000)
    other.close()
    left.close()


def test_elsewhere_nothing_is_taken(tmp_path: Path) -> None:
    if os.statvfs(tmp_path).f_frsize < 4096:
        pytest.skip("the disk of the tests has small blocks")
    database = Database(tmp_path / "db", "test", TABLE)
    assert os.stat(f"{database.path}-shm").st_size < BYTES
    database.close()
