"""Commits are durable and exclusive; migrations are applied once, by whoever comes first."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core.database import Database
from core.errors import Integrity, Unavailable, Unsupported

ROOT = Path(__file__).parents[2]
TABLE = "CREATE TABLE t (n INTEGER)"


def count(database: Database) -> int:
    return int(database.read().execute("SELECT COUNT(*) FROM t").fetchone()[0])


def test_nobody_else_may_read_the_file_or_what_is_beside_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", "me", [TABLE])
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "db": 0o600, "db-shm": 0o600, "db-wal": 0o600,
    }  # fmt: skip
    database.close()


def test_migrations_are_applied_once_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "db"
    Database(path, "me", [TABLE]).close()
    database = Database(path, "me", [TABLE, "ALTER TABLE t ADD COLUMN m INTEGER; CREATE INDEX i ON t (m)"])
    Database(path, "other", ["CREATE TABLE u (n INTEGER)"]).close()
    with database.write() as connection:
        connection.execute("INSERT INTO t VALUES (1, 2)")
    assert count(database) == 1
    database.close()


def test_a_file_of_a_newer_lamella_is_not_touched(tmp_path: Path) -> None:
    Database(tmp_path / "db", "me", [TABLE, "CREATE TABLE u (n)"]).close()
    with pytest.raises(Unsupported, match="newer"):
        Database(tmp_path / "db", "me", [TABLE])


def test_a_write_that_raises_is_undone_and_one_inside_another_joins_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", "me", [TABLE])
    with pytest.raises(RuntimeError), database.write() as outer:
        outer.execute("INSERT INTO t VALUES (1)")
        with database.write() as inner:
            inner.execute("INSERT INTO t VALUES (2)")
        raise RuntimeError
    assert count(database) == 0
    database.close()


def test_processes_and_threads_take_turns(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", "me", [TABLE])
    code = (
        "import sys; from pathlib import Path; from core.database import Database\n"
        f"d = Database(Path(sys.argv[1]), 'me', [{TABLE!r}])\n"
        "for _ in range(50):\n"
        "    with d.write() as c: c.execute('INSERT INTO t SELECT COUNT(*) FROM t')"
    )

    def add() -> None:
        for _ in range(50):
            with database.write() as connection:
                connection.execute("INSERT INTO t SELECT COUNT(*) FROM t")

    others = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "db"], cwd=ROOT) for _ in range(2)]
    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    numbers = [row[0] for row in database.read().execute("SELECT n FROM t ORDER BY n")]
    assert numbers == list(range(200))
    database.close()


def test_any_number_of_processes_open_a_new_file_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from core.database import Database\n"
        "for n in range(20):\n"
        "    time.sleep(max(0, float(sys.argv[2]) + n / 40 - time.time()))\n"
        f"    Database(Path(sys.argv[1], str(n)), 'me', [{TABLE!r}])"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(time.time() + 0.3)]
    others = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [other.communicate()[1] for other in others] == [""] * 4


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"not a database" * 100)
    with pytest.raises(Integrity, match="not a database"):
        Database(tmp_path / "db", "me", [TABLE])
    with pytest.raises(Unavailable, match="cannot open"):
        Database(tmp_path / "none/db", "me", [TABLE])


def test_closing_leaves_alone_what_another_thread_is_using(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", "test", ["CREATE TABLE t (x)"])
    opened, closed, seen = threading.Event(), threading.Event(), []

    def work() -> None:
        connection = database.read()
        opened.set()
        closed.wait(10)
        seen.append(connection.execute("SELECT count(*) FROM t").fetchone()[0])
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    opened.wait(10)
    database.close()
    closed.set()
    thread.join()
    assert seen == [0]
