"""kill -9 at any instant: the next command works, what was reported done is whole, no mount and no process is left.

Ten kinds of commands are killed at random moments of their span, by turns the whole group or the front process alone; the
number of real kills in each phase is printed and must be at least `KILLS`.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.suites.archives import docker_archive, tar
from tests.suites.driven import Driven
from tests.suites.killing import kill_commands
from tests.suites.layouts import tar_of

KILLS = 12  # in each phase, of which there are ten
MARK = f"kill-test-{os.getpid()}"
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("crun"), reason="needs root and crun"),
    pytest.mark.timeout(600),
]


class Store(Driven):
    """A private store, driven by the command line."""

    def __init__(self, root: Path, context: Path) -> None:
        super().__init__(root, mark=MARK)
        self.context = context

    def dockerfile(self, number: int) -> None:
        (self.context / "Dockerfile").write_text(
            f"FROM bb\nCOPY big /big{number}\nRUN echo {MARK} >/dev/null; sleep 0.05; echo {number} > /n\nRUN echo b > /b\n"
        )

    def build(self, number: int) -> None:
        self.dockerfile(number)
        self.run("build", "-q", "-t", f"k{number}", self.context)

    def says(self, name: str) -> str:
        """What the image's file /n says; the image is run for it."""
        return self.run("run", "--rm", "--network", "none", name, "cat", "/n")


def kill_often(
    store: Store,
    prepare: Callable[[int], None],
    words: Callable[[int], tuple[object, ...]],
    after: Callable[[int], None],
) -> int:
    """Prepare, start, kill, check; until there were enough real kills. Returns their number."""

    def check(number: int) -> None:
        store.settle()
        after(number)

    return kill_commands(store, KILLS, prepare, words, check)


@pytest.fixture
def store(store_root: Path, base: str, tmp_path: Path) -> Iterator[Store]:
    context = tmp_path / "context"
    context.mkdir()
    (context / "big").write_bytes(random.Random(1).randbytes(10_000_000))
    found = Store(store_root, context)
    yield found
    found.settle()


def test_killed_builds(store: Store) -> None:
    done: set[int] = set()

    def after(number: int) -> None:
        assert store.run("images", "-q", "bb").strip()
        if store.run("images", "-q", f"k{number}").strip():
            done.add(number)
        if number % 7 == 0:
            store.whole()
        if number % 10 == 0:
            store.run("image", "prune", "-f")

    kills = kill_often(
        store, store.dockerfile, lambda n: ("build", "-q", "--no-cache", "-t", f"k{n}", store.context), after
    )
    store.whole()
    for number in sorted(done)[-5:]:
        assert store.run("run", "--rm", "--network", "none", f"k{number}", "cat", "/n", "/b") == f"{number}\nb\n"
    print(f"{len(done)} builds finished")
    finish(store, "builds", kills)


def test_killed_pulls(store: Store, registry: str, tmp_path: Path) -> None:
    name = f"{registry}/kill/app:1"
    store.build(1)
    store.run("tag", "k1", name)
    store.run("push", "-q", name)
    elsewhere = Store(tmp_path / "elsewhere", store.context)

    def prepare(number: int) -> None:
        elsewhere.run("image", "prune", "-a", "-f")
        assert not elsewhere.run("images", "-q", name).strip()

    def after(number: int) -> None:
        if number % 7 == 0:
            elsewhere.whole()
        if elsewhere.run("images", "-q", name).strip():
            assert elsewhere.says(name) == "1\n"

    kills = kill_often(elsewhere, prepare, lambda n: ("pull", "-q", name), after)
    elsewhere.whole()
    elsewhere.run("pull", "-q", name)
    assert elsewhere.says(name) == "1\n"
    finish(elsewhere, "pulls", kills)


def test_killed_pushes(store: Store, registry: str) -> None:
    store.build(1)

    def prepare(number: int) -> None:
        store.run("tag", "k1", f"{registry}/kill/app{number}:1")

    def after(number: int) -> None:
        if number % 7 == 0:
            store.whole()

    kills = kill_often(store, prepare, lambda n: ("push", "-q", f"{registry}/kill/app{n}:1"), after)
    store.run("tag", "k1", f"{registry}/kill/last:1")
    store.run("push", "-q", f"{registry}/kill/last:1")
    finish(store, "pushes", kills)


@pytest.fixture
def archive(store: Store, tmp_path: Path) -> Path:
    """An image `k1` of the store, saved."""
    store.build(1)
    path = tmp_path / "k1.tar"
    store.run("save", "-q", "-o", path, "k1")
    return path


def forget(store: Store, name: str) -> None:
    """Neither the name nor any layer that only it had."""
    if store.has(name):
        store.run("rmi", "-f", name)
    store.run("builder", "prune", "-af")


def finish(store: Store, phase: str, kills: int) -> None:
    """After all the kills: what they left goes with a prune, and everything else is whole."""
    store.run("image", "prune", "-f")
    store.whole()
    assert not list(store.strays())
    print(f"{phase}: {kills} killed")
    assert kills >= KILLS


def test_killed_loads_of_what_others_packed(store: Store, tmp_path: Path) -> None:
    layer = tar_of({"z/large": os.urandom(1 << 20), **{f"d/{n}": b"%d" % n for n in range(300)}, "a": b"last"})
    path = tmp_path / "strange.tar"
    path.write_bytes(tar(*docker_archive(layer, tags=["strange:1"])))

    def after(number: int) -> None:
        if number % 7 == 0:
            store.whole()

    kills = kill_often(store, lambda _: forget(store, "strange:1"), lambda _: ("load", "-q", "-i", path), after)
    store.run("load", "-q", "-i", path)
    assert store.has("strange:1")
    finish(store, "loads of what others packed", kills)


def test_killed_loads(store: Store, archive: Path) -> None:
    def after(number: int) -> None:
        if store.has("k1"):
            assert store.says("k1") == "1\n"
        if number % 7 == 0:
            store.whole()

    kills = kill_often(store, lambda _: forget(store, "k1"), lambda _: ("load", "-q", "-i", archive), after)
    store.run("load", "-q", "-i", archive)
    assert store.says("k1") == "1\n"
    finish(store, "loads", kills)


def test_killed_removals(store: Store, archive: Path) -> None:
    """`rmi` frees the layers too: loaded images are in no cache."""

    def prepare(_: int) -> None:
        forget(store, "k1")
        store.run("load", "-q", "-i", archive)

    def after(number: int) -> None:
        if store.has("k1"):
            assert store.says("k1") == "1\n"
        assert store.has("bb")
        if number % 7 == 0:
            store.whole()

    finish(store, "removals", kill_often(store, prepare, lambda _: ("rmi", "k1"), after))


def test_killed_saves(store: Store, archive: Path, tmp_path: Path) -> None:
    """The file is the old one, the new one, or not there; one that is cut off would be taken for an image."""
    path, whole = tmp_path / "out.tar", archive.read_bytes()

    def after(number: int) -> None:
        if path.exists():
            assert path.read_bytes() == (b"old" if number % 2 and path.stat().st_size == 3 else whole)
        assert not list(tmp_path.glob(".out.tar*"))

    def prepare(number: int) -> None:
        path.unlink(missing_ok=True)
        if number % 2:
            path.write_bytes(b"old")

    kills = kill_often(store, prepare, lambda _: ("save", "-q", "-o", path, "k1"), after)
    finish(store, "saves", kills)


def test_killed_commits(store: Store) -> None:
    """By turns of what lies there as it was written, and of a copy that the container has got since the last one."""
    script = "seq 2000000 > /big; cat /proc/sys/kernel/random/uuid > /u; echo committed > /n"
    store.run("run", "--name", "job", "--network", "none", "bb", "sh", "-c", script)

    def after(number: int) -> None:
        if store.has(f"c{number}"):
            assert store.says(f"c{number}") == "committed\n"
        if number % 7 == 0:
            store.whole()

    def prepare(number: int) -> None:
        if number % 2:
            store.run("start", "-a", "job")

    kills = kill_often(store, prepare, lambda n: ("commit", "job", f"c{n}"), after)
    store.run("commit", "job", "last")
    assert store.says("last") == "committed\n"
    finish(store, "commits", kills)


def test_killed_copies(store: Store, archive: Path, tmp_path: Path) -> None:
    """By turns into a layout, which then holds the image whole or not at all, and from there into the store."""
    layout = tmp_path / "layout"
    store.run("image", "cp", "-q", "k1", f"oci:{tmp_path}/whole:1")

    def words(number: int) -> tuple[object, ...]:
        if number % 2:
            return ("image", "cp", "-q", "k1", f"oci:{layout}:1")
        return ("image", "cp", "-q", f"oci:{tmp_path}/whole:1", "copied")

    def prepare(number: int) -> None:
        forget(store, "copied")
        if number % 4 == 1:  # else it begins on what the kill before has left
            shutil.rmtree(layout, ignore_errors=True)

    def after(number: int) -> None:
        if store.has("copied"):
            assert store.says("copied") == "1\n"
        assert not list(layout.glob("**/.*"))
        if number % 4 == 3:
            store.run("image", "cp", "-q", "k1", f"oci:{layout}:1")
            store.run("image", "cp", "-q", f"oci:{layout}:1", f"oci-archive:{tmp_path}/again.tar")

    finish(store, "copies", kill_often(store, prepare, words, after))


def test_killed_prunes(store: Store, archive: Path, tmp_path: Path) -> None:
    """Two images take the name from each other: the other one dangles, and no cache keeps its layers."""
    archives = {"1\n": archive, "2\n": tmp_path / "k2.tar"}
    store.build(2)
    store.run("tag", "k2", "k1")
    store.run("save", "-q", "-o", archives["2\n"], "k1")
    store.run("rmi", "k2")

    def prepare(number: int) -> None:
        store.run("load", "-q", "-i", archives[f"{number % 2 + 1}\n"])
        store.run("builder", "prune", "-af") if number == 0 else None

    def after(number: int) -> None:
        assert store.says("k1") == f"{number % 2 + 1}\n"
        if number % 5 == 0:
            store.whole()

    kills = kill_often(store, prepare, lambda n: ("image", "prune", "-f"), after)
    finish(store, "prunes", kills)
    assert not store.run("image", "ls", "-q", "-f", "dangling=true").strip()
