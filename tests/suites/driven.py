"""A private store that is driven by commands as processes of their own, and what to look for when they have ended."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from runtime.state import state_directory

ROOT = Path(__file__).parents[2]
TABLES = ("images", "tags", "repository_digests", "layers", "records", "holds", "hold_layers", "leases", "garbage")


class Ended(NamedTuple):
    """A command's exit code and what it wrote."""

    code: int
    out: str
    err: str


class Driven:
    """The command line on the store at `root`. `mark`: words in the command lines of processes that belong to it as well."""

    def __init__(self, root: Path, *, mark: str = "", sync: bool = True) -> None:
        self.root, self.mark = root, mark
        self.env = {**os.environ, "LAMELLA_ROOT": str(root), "PYTHONPATH": str(ROOT)}
        self.env |= {} if sync else {"LAMELLA_NO_SYNC": "1"}

    def start(self, *words: object, **options: object) -> subprocess.Popen[str]:
        """In a session of its own, with nothing on its standard input."""
        fresh = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [sys.executable, "-m", "lamella", *map(str, words)]
        return subprocess.Popen(command, env=self.env, cwd=ROOT, text=True, start_new_session=True, **fresh)  # type: ignore[call-overload, no-any-return]

    def end(self, *words: object, seconds: float = 120, **options: object) -> Ended:
        """Run it to its end, whatever that is."""
        with self.start(*words, **options) as process:
            out, err = process.communicate(timeout=seconds)
        return Ended(process.returncode, out, err)

    def run(self, *words: object) -> str:
        """What it prints. It must succeed."""
        ended = self.end(*words)
        assert ended.code == 0, f"lamella {' '.join(map(str, words))}: exit {ended.code}: {ended.out}{ended.err}"
        return ended.out

    def has(self, name: str) -> bool:
        return bool(self.run("images", "-q", name).strip())

    def settle(self) -> None:
        """Whatever ends a moment after its command has ended; raises AssertionError for what does not."""
        for _ in range(150):
            if not self.processes() and not self.mounts():
                return
            time.sleep(0.02)
        raise AssertionError(f"left over: {self.processes()}, {self.mounts()}")

    def mounts(self) -> list[str]:
        """What is mounted below the store and its state directory or is made of them, as everybody sees it."""
        places = (str(self.root), state_directory(self.root).name)
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if any(place in line for place in places)]

    def processes(self) -> list[str]:
        """The command lines of living processes that belong to the store."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                environ = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            belongs = str(self.root).encode() in words + environ or (self.mark and self.mark.encode() in words)
            if belongs and words and int(pid) != os.getpid():
                found.append(words.replace(b"\0", b" ").decode())
        return found

    def rows(self, table: str) -> list[tuple[object, ...]]:
        """What a table of the catalog holds; nobody may be at work."""
        with closing(sqlite3.connect(self.root / "catalog.db")) as connection:
            return connection.execute(f"SELECT * FROM {table}").fetchall()

    def strays(self) -> Iterator[str]:
        """What has no owner now that nobody is at work: after a prune there must be nothing of it."""
        held = {row[1] for row in self.rows("holds")}
        for place in ("tmp", "locks", "snapshots", "containers"):
            yield from (f"{place}/{name}" for name in os.listdir(self.root / place) if name not in held)
        for table in ("leases", "garbage"):
            yield from (f"{table}: {row}" for row in self.rows(table))
        with closing(sqlite3.connect(self.root / "catalog.db")) as connection:
            owned = {row[0] for row in connection.execute("SELECT directory FROM layers")}
        yield from (f"layers/{name} has no row" for name in set(os.listdir(self.root / "layers")) - owned)
        yield from (f"layers/{name} is missing" for name in owned - set(os.listdir(self.root / "layers")))

    def whole(self) -> None:
        """`fsck` finds nothing damaged."""
        ended = self.end("fsck")
        assert ended.code == 0, ended.out + ended.err

    def emptied(self) -> Iterator[str]:
        """Remove and prune everything; then say what is left that should not be."""
        ids = sorted(set(self.run("ps", "-aq").split()))
        if ids:
            self.run("rm", "-f", *ids)
        self.run("image", "prune", "-af")
        self.run("builder", "prune", "-af")
        yield from self.strays()
        yield from (f"{table}: {row}" for table in TABLES for row in self.rows(table))
        yield from map(str, (self.root / "blobs").glob("*/*/*"))
        for place in ("layers", "containers"):
            yield from (f"{place}/{name}" for name in os.listdir(self.root / place))
