"""Remembered file hashes: right, or not remembered."""

from __future__ import annotations

import os
import time
from pathlib import Path

from image.digest import Digest
from store.file_digests import FileDigests, FileKey
from store.store import Store

LATER = 10 * 10**9


def key(path: Path) -> FileKey:
    return FileKey.of(path.stat())


def test_an_unchanged_file_is_known_and_a_changed_one_is_not(store: Store, tmp_path: Path) -> None:
    files = [tmp_path / str(n) for n in range(3)]
    for file in files:
        file.write_bytes(file.name.encode())
    store.file_digests.put_many({key(f): Digest.of(f.read_bytes()) for f in files}, time.time_ns() + LATER)
    files[1].write_bytes(b"x")
    found = store.file_digests.get_many(map(key, files))
    assert found == {key(f): Digest.of(f.read_bytes()) for f in (files[0], files[2])}


def test_a_file_that_was_changed_just_before_it_was_hashed_is_not_remembered(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    store.file_digests.put_many({key(file): Digest.of(b"x")}, time.time_ns())
    assert store.file_digests.get_many([key(file)]) == {}


def test_an_mtime_in_the_future_is_not_trusted(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    os.utime(file, ns=(0, time.time_ns() + 100 * LATER))
    store.file_digests.put_many({key(file): Digest.of(b"x")}, time.time_ns() + LATER)
    assert store.file_digests.get_many([key(file)]) == {}


def test_inode_numbers_of_64_bits_are_fine(store: Store) -> None:
    one = FileKey.of(
        os.stat_result((0o100644, 2**64 - 5, 7, 1, 0, 0, 3, 0, 0, 0), {"st_mtime_ns": 1, "st_ctime_ns": 2})
    )
    store.file_digests.put_many({one: Digest.of(b"x")}, LATER)
    assert store.file_digests.get_many([one]) == {one: Digest.of(b"x")}


def test_a_torn_file_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "files.db").write_bytes(b"nonsense" * 1000)
    digests = FileDigests(tmp_path / "files.db")
    assert digests.get_many([FileKey(1, 2, 3, 4, 5)]) == {}
    digests.close()
