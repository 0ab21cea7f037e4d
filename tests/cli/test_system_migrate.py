"""A store of an older lamella keeps everything, and its catalog of before if that is asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from image.reference import Reference
from store import catalog
from store.holds import Hold
from store.images import Image
from store.records import Record
from store.store import Store
from tests.cli.conftest import Said
from tests.suites.older import make_older

Cli = Callable[..., Said]
Make = Callable[..., Image]
NEWEST = len(catalog.MIGRATIONS)
OLDER = list(range(1, NEWEST))


@pytest.fixture
def full(store: Store, make: Make) -> Store:
    """Some of everything, closed."""
    base = make("base", "base:2")
    make("app", parent=base, labels={"a": "b"}, digests=[f"localhost:5000/app@sha256:{'a' * 64}"])
    make(parent=base)
    store.records.add(Record("aa", base.diff_ids[0], b"{}", 1, 2, 3))
    store.holds.set(Hold("container", "c" * 64, "web", base.id, False))
    store.close()
    return store


def told(cli: Cli) -> list[str]:
    """What users see of images, tags, cache and all."""
    words = (["images", "-a", "--digests", "--no-trunc"], ["history", "app"], ["inspect", "app", "base:2"],
             ["image", "ls", "--tree"], ["system", "df"])  # fmt: skip
    return [cli(*one).out for one in words]


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT version FROM migrations").fetchone()[0])


@pytest.mark.parametrize("before", OLDER)
def test_every_migration_keeps_all_images_and_tags(cli: Cli, full: Store, before: int) -> None:
    expected = told(cli)
    make_older(full.root, before)
    path = full.root / "catalog.db"
    said = cli("system", "migrate", "--dry-run")
    assert said.code == 0 and f"{path}: would go from version {before} to {NEWEST}\n" in said.out
    assert version(path) == before and not path.with_name(f"catalog.db.version-{before}").exists()
    said = cli("system", "migrate")
    assert said.code == 0
    assert f"{path}: went from version {before} to {NEWEST}; a copy of before is {path}.version-{before}\n" in said.out
    assert told(cli)[:4] == expected[:4] and cli("fsck").code == 0


@pytest.mark.parametrize("before", OLDER)
def test_the_copy_is_the_whole_catalog_of_before_and_nobody_elses(cli: Cli, full: Store, before: int) -> None:
    make_older(full.root, before)
    expected = dump(full.root / "catalog.db")
    assert cli("system", "migrate").code == 0
    copy = full.root / f"catalog.db.version-{before}"
    assert dump(copy) == expected and copy.stat().st_mode & 0o777 == 0o600 and version(copy) == before
    for suffix in ("-wal", "-shm"):
        Path(f"{full.root}/catalog.db{suffix}").unlink(missing_ok=True)
    copy.rename(full.root / "catalog.db")  # the way back
    assert "base" in cli("images").out


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [line for line in connection.iterdump() if "INSERT INTO" in line]


@pytest.mark.parametrize("before", OLDER)
def test_any_command_migrates_what_it_opens(cli: Cli, full: Store, before: int) -> None:
    expected = told(cli)
    make_older(full.root, before)
    assert told(cli) == expected and version(full.root / "catalog.db") == NEWEST
    with Store.open(full.root) as store:
        assert store.tags.get(Reference.parse("base:2")) and [r.key for r in store.records.all()] == ["aa"]


def test_there_is_nothing_to_do_twice(cli: Cli, full: Store) -> None:
    said = cli("system", "migrate")
    assert said.code == 0 and said.out.endswith("nothing to do\n")
    assert f"{full.root}/catalog.db: version {NEWEST}, the newest\n" in said.out
    assert f"{full.root}/registry/registry.db: not there\n" in said.out
    assert not list(full.root.glob("*.version-*"))


def test_where_there_is_no_store_none_is_made(cli: Cli, tmp_path: Path) -> None:
    said = cli("system", "migrate")
    assert said.code == 0 and said.out.endswith("nothing to do\n") and not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "command", [("system", "migrate"), ("system", "migrate", "--dry-run"), ("images",), ("fsck", "--repair")]
)
def test_a_store_of_a_newer_lamella_is_refused(cli: Cli, full: Store, command: tuple[str, ...]) -> None:
    with closing(sqlite3.connect(full.root / "catalog.db")) as connection, connection:
        connection.execute("UPDATE migrations SET version = 99")
    said = cli(*command)
    assert said.code == 1 and said.out == ""
    assert said.err == (
        f"lamella: {full.root}/catalog.db was written by a newer lamella: its version is 99, this one knows {NEWEST}\n"
        "  upgrade lamella to use this store\n"
    )
    assert version(full.root / "catalog.db") == 99


def test_what_is_no_database_is_told(cli: Cli, full: Store) -> None:
    (full.root / "catalog.db").write_bytes(b"this is no database at all, " * 100)
    said = cli("system", "migrate")
    assert said.code == 1 and "is not a database" in said.err


def test_a_registrys_database_is_looked_at_too(cli: Cli, full: Store, tmp_path: Path) -> None:
    from registry.server.metadata.sqlite import SqliteMetadata

    (tmp_path / "data").mkdir()
    SqliteMetadata(tmp_path / "data/registry.db").close()
    with closing(sqlite3.connect(tmp_path / "data/registry.db")) as connection, connection:
        connection.execute("UPDATE migrations SET version = 98")
    said = cli("system", "migrate", "--data", tmp_path / "data")
    assert said.code == 1 and "registry.db was written by a newer lamella" in said.err
