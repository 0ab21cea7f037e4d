"""The metadata stores keep their contract; the one on disk survives its process."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import InvalidInput
from image.digest import Digest
from registry.server.metadata.memory import MemoryMetadata
from registry.server.metadata.protocol import MetadataStore
from registry.server.metadata.sqlite import SqliteMetadata
from tests.suites.metadata import MetadataSuite, record


class TestMemory(MetadataSuite):
    @pytest.fixture
    def metadata(self) -> MetadataStore:
        return MemoryMetadata()


class TestSqlite(MetadataSuite):
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
