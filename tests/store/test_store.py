"""Opening a store: made when missing, quick when there, refused when it cannot work."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from core.errors import Integrity, LamellaError, Unavailable, Unsupported
from store.store import Store
from tests.suites.stock import add_image


def test_a_missing_store_is_made_with_everything_in_it(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a/b/store") as store:
        assert store.images.count() == 0
    names = {path.name for path in (tmp_path / "a/b/store").iterdir()}
    assert names >= {"catalog.db", "blobs", "layers", "snapshots", "containers", "builds", "tmp", "locks"}


def test_others_may_pass_the_top_and_see_nothing_below(store_root: Path) -> None:
    Store.open(store_root).close()
    assert stat.S_IMODE(store_root.stat().st_mode) == 0o711
    assert {stat.S_IMODE(p.stat().st_mode) for p in store_root.iterdir() if p.is_dir()} == {0o700}


def test_opening_again_finds_what_was_there(store_root: Path) -> None:
    with Store.open(store_root) as store:
        image = add_image(store, "one", tags=["one"], labels={"a": "b"})
    with Store.open(store_root) as store:
        assert store.images.get(image.id) == image
        assert store.images.config(image.id).config.labels == {"name": "one", "a": "b"}


def test_a_store_that_died_while_being_made_is_finished(store_root: Path) -> None:
    (store_root / "blobs").mkdir(parents=True)
    with Store.open(store_root) as store:
        add_image(store, "one")


def test_closing_twice_is_harmless(store_root: Path) -> None:
    store = Store.open(store_root)
    store.blobs.add(b"x")
    store.close()
    store.close()
    assert list((store_root / "locks").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"this is no database" * 100, Integrity), (None, Unavailable)],
    ids=["nonsense", "directory"],
)
def test_a_catalog_that_cannot_be_read_is_told(
    store_root: Path, content: bytes | None, error: type[LamellaError]
) -> None:
    Store.open(store_root).close()
    path = store_root / "catalog.db"
    path.unlink()
    path.write_bytes(content) if content else path.mkdir()
    with pytest.raises(error, match=r"catalog\.db"):
        Store.open(store_root)


def test_a_place_that_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot make a store"):
        Store.open(tmp_path / "file/store")


def test_a_store_of_a_newer_lamella_is_left_alone(store_root: Path) -> None:
    with Store.open(store_root) as store, store.transaction() as connection:
        connection.execute("UPDATE migrations SET version = 99")
    with pytest.raises(Unsupported, match="newer lamella"):
        Store.open(store_root)


def test_a_transaction_that_fails_leaves_nothing(store_root: Path) -> None:
    with Store.open(store_root) as store:
        with pytest.raises(RuntimeError), store.transaction():
            add_image(store, "one", tags=["one"])
            raise RuntimeError
        assert store.images.count() == 0 and list(store.tags.all()) == []


def test_relaxed_writes_are_followed_by_durable_ones(store_root: Path) -> None:
    with Store.open(store_root) as store:
        connection = store.database.read()
        with store.database.write(durable=False):
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == 1
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_foreign_keys_are_checked(store_root: Path) -> None:
    with Store.open(store_root) as store, pytest.raises(sqlite3.IntegrityError), store.transaction() as connection:
        connection.execute("INSERT INTO tags VALUES ('r', 't', 'sha256:none', '', '', 0, 0)")
