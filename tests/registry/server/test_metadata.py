"""The metadata stores keep their contract; the one on disk survives its process."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.database import Database
from core.errors import InvalidInput
from image.digest import Digest
from registry.server.metadata.memory import MemoryMetadata
from registry.server.metadata.protocol import Allowance, MetadataStore, QuotaExceeded
from registry.server.metadata.schema import MIGRATIONS, OWNER
from registry.server.metadata.sqlite import SqliteMetadata
from tests.suites.metadata import MetadataSuite, record
from tests.suites.upkeep import UpkeepSuite, collect


class TestMemory(MetadataSuite, UpkeepSuite):
    @pytest.fixture
    def metadata(self) -> MetadataStore:
        return MemoryMetadata()


class TestSqlite(MetadataSuite, UpkeepSuite):
    @pytest.fixture
    def metadata(self, tmp_path: Path) -> Iterator[MetadataStore]:
        store = SqliteMetadata(tmp_path / "registry.db")
        yield store
        store.close()


def _write(path: Path) -> None:
    SqliteMetadata(path).put_manifest("a", record(b"from another process"), ["1"])


def test_what_another_process_wrote_is_seen_at_once(tmp_path: Path) -> None:
    here = SqliteMetadata(tmp_path / "registry.db")
    before = here.version()
    child = multiprocessing.get_context("fork").Process(target=_write, args=(tmp_path / "registry.db",))
    child.start()
    child.join()
    assert here.version() != before
    found = here.manifest("a", "1")
    assert found and found.content == b"from another process"
    here.close()


def test_a_failing_writer_does_not_undo_those_in_its_group(tmp_path: Path) -> None:
    store = SqliteMetadata(tmp_path / "registry.db")
    store.link_blob("a", Digest.of(b"x"), 1)

    def fail(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM blob_links")
        raise InvalidInput("no")

    def attempt() -> None:
        with pytest.raises(InvalidInput):
            store._write(fail)

    with store._writer._turn:  # so that both wait, and go into one transaction
        threads = [
            threading.Thread(target=attempt),
            threading.Thread(target=store.link_blob, args=("a", Digest.of(b"y"), 2)),
        ]
        for thread in threads:
            thread.start()
        while len(store._writer._waiting) < 2:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert store.blob_size("a", Digest.of(b"x")) == 1 and store.blob_size("a", Digest.of(b"y")) == 2
    store.close()


def test_a_store_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    first = Database(tmp_path / "registry.db", OWNER, MIGRATIONS[:1])
    with first.write() as db:
        for table, row in (
            ("repositories", (1, "a", 5)), ("repositories", (2, "b", 5)), ("blob_links", (1, Digest.of(b"x"), 100, 5)),
            ("blob_links", (2, Digest.of(b"x"), 100, 5)), ("blob_links", (1, Digest.of(b"loose"), 7, 5)),
            ("manifests", (1, 1, Digest.of(b"m"), "t/m", b"m", None, "", "{}", 5)),
            ("manifests", (2, 1, Digest.of(b"untagged"), "t/m", b"untagged", None, "", "{}", 5)),
            ("manifest_references", (1, Digest.of(b"x"), "blob")), ("tags", (1, "1", Digest.of(b"m"), 5)),
        ):  # fmt: skip
            db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    first.close()
    store = SqliteMetadata(tmp_path / "registry.db")
    assert (store.used("a"), store.used("b"), store.used(None)) == (116, 100, 116)
    assert collect(store) == {Digest.of(b"loose")}
    assert store.blob_size("a", Digest.of(b"x")) == 100 and store.blob_size("b", Digest.of(b"x")) is None
    assert store.manifest("a", "1") and store.manifest("a", Digest.of(b"untagged")) is None
    assert (store.used("a"), store.used(None)) == (101, 101)
    store.close()


def test_writers_share_one_connection_which_ends_with_the_store(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"

    def opened() -> int:
        links = (os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd"))
        return sum(os.path.islink(link) and os.readlink(link) == str(path) for link in links)

    store = SqliteMetadata(path)
    before = opened()
    threads = [threading.Thread(target=store.link_blob, args=("a", Digest.of(bytes([n])), 1)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened() == before + 1 and store.used("a") == 5
    store.close()
    assert opened() == 0
    store.close()


def test_a_writer_that_fails_alone_leaves_nothing_behind(tmp_path: Path) -> None:
    store = SqliteMetadata(tmp_path / "registry.db")
    with pytest.raises(QuotaExceeded):
        store.link_blob("a", Digest.of(b""), 9, Allowance(repository=8))
    assert store.repositories("", 9) == [] and store.tags("a", "", 1) is None and store.used(None) == 0
    store.close()
