"""Many processes on one store: every command succeeds or says an expected thing, nothing is lost, nothing is left over.

A dozen workers run commands for `SECONDS`, each on names of its own and all on a few that they fight about. Afterwards each
name must stand for what one of the operations on it left that may have been the last, and must run.
"""

from __future__ import annotations

import collections
import itertools
import os
import random
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.suites.driven import Driven, Ended
from tests.suites.ledger import Ledger

SECONDS = 18.0
FOUGHT = tuple(f"fought:{number}" for number in range(3))
# What a command may say when another one was faster. All else is a defect.
EXPECTED = re.compile(
    r"no such (image|object)|no image here is called"  # the name was taken away
    r"|conflict: unable to|is using its referenced image|has dependent child images"  # somebody uses the image
    r"|was removed meanwhile|may have been removed meanwhile",
    re.IGNORECASE,
)
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("crun"), reason="needs root and crun"),
    pytest.mark.timeout(300),
]


class Crowd:
    """The workers, what they share, and what they counted."""

    def __init__(self, store: Driven, registry: str, base: Path) -> None:
        self.store, self.registry, self.base = store, registry, base
        self.ledger = Ledger()
        self.counts: collections.Counter[str] = collections.Counter()
        self.refused: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.deadline = time.monotonic() + SECONDS

    def do(self, *words: object, leaves: str | None = None, under: str = "") -> bool:
        """Run a command; where it succeeds the name `under` stands for `leaves`."""
        begin = time.monotonic()
        ended = self.store.end(*words)
        kind = " ".join(map(str, words[: 1 + (words[0] in ("image", "builder"))]))
        self.counts[kind] += 1
        if ended.code == 0:
            if under:
                self.ledger.add(under, begin, leaves)
            return True
        self.judge(words, ended)
        self.refused[kind] += 1
        return False

    def judge(self, words: tuple[object, ...], ended: Ended) -> None:
        said = ended.err.strip()
        if ended.code not in (1, 125) or not EXPECTED.search(said) or "Traceback" in said:
            self.failures.append(f"lamella {' '.join(map(str, words))}: exit {ended.code}: {said}")

    def run(self, *works: Callable[[Crowd, str], Iterator[None]]) -> None:
        threads = [
            threading.Thread(target=self._work, args=(work, f"{work.__name__}{number}"))
            for number, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, work: Callable[[Crowd, str], Iterator[None]], me: str) -> None:
        try:
            for _ in work(self, me):
                if time.monotonic() > self.deadline or self.failures:
                    return
        except BaseException as error:
            self.failures.append(f"{me}: {error!r}")

    def context(self, me: str, dockerfile: str) -> Path:
        directory = self.base / me
        directory.mkdir(exist_ok=True)
        (directory / "file").write_bytes(b"shared" * 50_000)
        (directory / "Dockerfile").write_text(dockerfile)
        return directory


SHARED = "FROM bb\nCOPY file /file\nRUN echo shared > /shared\n"


def builds(crowd: Crowd, me: str) -> Iterator[None]:
    """Steps shared with the others, by turns from the cache and not; the image before dangles."""
    for number in itertools.count():
        name, value = (f"{me}:{number % 4}", f"{me}-{number}")
        context = crowd.context(me, f"{SHARED}RUN echo {value} > /n\n")
        fresh = ["--no-cache"] if number % 3 == 2 else []
        crowd.do("build", "-q", *fresh, "-t", name, context, leaves=value, under=name)
        yield
        fought = random.choice(FOUGHT)
        crowd.do("tag", name, fought, leaves=value, under=fought)
        yield
        if number % 4 == 3:
            crowd.do("rmi", gone := f"{me}:{number % 2}", under=gone)
            yield


def stages(crowd: Crowd, me: str) -> Iterator[None]:
    """A stage copies out of another that others build as well; the same image under a name that is fought about."""
    for number in itertools.count():
        value = f"{me}-{number}"
        fought = random.choice(FOUGHT)
        text = f"FROM bb AS one\nCOPY file /file\nRUN echo shared > /shared\nFROM bb\nCOPY --from=one /shared /s\nRUN echo {value} > /n\n"
        crowd.do("build", "-q", "-t", fought, crowd.context(me, text), leaves=value, under=fought)
        yield


def removes(crowd: Crowd, me: str) -> Iterator[None]:
    """Names that others give at the same time; and images by ID."""
    while True:
        fought = random.choice(FOUGHT)
        crowd.do("rmi", fought, under=fought)
        yield
        if ids := crowd.store.run("images", "-q", "-f", "dangling=true").split():
            crowd.do("rmi", random.choice(ids))
        yield


def prunes(crowd: Crowd, me: str) -> Iterator[None]:
    while True:
        crowd.do("image", "prune", "-f")
        yield
        crowd.do("builder", "prune", "-af")
        yield
        crowd.do("image", "prune", "-af", "--filter", "label=doomed=yes")
        yield


def moves(crowd: Crowd, me: str) -> Iterator[None]:
    """Out into an archive and a layout, and in again under the same name."""
    for number in itertools.count():
        name, value = f"{me}:{number % 2}", f"{me}-{number}"
        context = crowd.context(me, f"FROM bb\nLABEL doomed=no\nRUN echo {value} > /n\n")
        crowd.do("build", "-q", "-t", name, context, leaves=value, under=name)
        yield
        archive = crowd.base / f"{me}.tar"
        saved = crowd.do("save", "-q", "-o", archive, name)
        yield
        crowd.do("rmi", name, under=name)
        yield
        if saved:
            crowd.do("load", "-q", "-i", archive, leaves=value, under=name)
        yield
        crowd.do("image", "cp", "-q", name, f"oci-archive:{archive}")
        yield
        crowd.do("image", "cp", "-q", f"oci-archive:{archive}", f"{me}:copy", leaves=value, under=f"{me}:copy")
        yield


def travels(crowd: Crowd, me: str) -> Iterator[None]:
    """Pushed, removed, pulled, and run; the label lets a prune take it at any time, so nobody relies on it."""
    for number in itertools.count():
        name = f"{crowd.registry}/{me}/app:{number % 2}"
        context = crowd.context(me, f"FROM bb\nLABEL doomed=yes\nCOPY file /file\nRUN echo {me}-{number % 5} > /n\n")
        crowd.do("build", "-q", "-t", name, context)
        yield
        pushed = crowd.do("push", "-q", name)
        yield
        crowd.do("rmi", name)
        yield
        if pushed:
            crowd.do("pull", "-q", name)
        yield
        kept = f"{me}:kept"
        crowd.do("tag", name, kept)
        yield


def pulls(crowd: Crowd, me: str) -> Iterator[None]:
    """Two of these bring the same image in at the same time."""
    name = f"{crowd.registry}/steady/app:1"
    while True:
        crowd.do("pull", "-q", name, leaves="steady", under=name)
        yield
        crowd.do("run", "--rm", "--pull", "never", "--network", "none", name, "cat", "/n")
        yield
        crowd.do("rmi", name, under=name)
        yield


def runs(crowd: Crowd, me: str) -> Iterator[None]:
    for number in itertools.count():
        crowd.do("run", "--rm", "--pull", "never", "--network", "none", random.choice([*FOUGHT, "bb"]), "true")
        yield
        container, name = f"{me}-{number}", f"{me}:made"
        script = f"echo {container} > /n"
        if crowd.do("run", "--name", container, "--network", "none", "bb", "sh", "-c", script):
            yield
            crowd.do("commit", container, name, leaves=container, under=name)
            yield
            crowd.do("rm", container)
        yield


def checks(crowd: Crowd, me: str) -> Iterator[None]:
    while True:
        crowd.do("fsck", "-q")
        yield
        crowd.do("images")
        yield
        crowd.do("system", "df")
        yield
        crowd.do("inspect", random.choice(FOUGHT))
        yield
        crowd.do("history", random.choice(FOUGHT))
        yield


@pytest.fixture
def crowd(store_root: Path, base: str, registry: str, tmp_path: Path) -> Crowd:
    store = Driven(store_root)
    directory = tmp_path / "contexts"
    directory.mkdir()
    found = Crowd(store, registry, directory)
    steady = f"{registry}/steady/app:1"
    store.run("build", "-q", "-t", steady, found.context("steady", "FROM bb\nRUN echo steady > /n\n"))
    store.run("push", "-q", steady)
    found.deadline = time.monotonic() + SECONDS
    return found


def test_a_crowd_loses_nothing_and_leaves_nothing(crowd: Crowd) -> None:
    store = crowd.store
    crowd.run(builds, builds, stages, removes, prunes, moves, travels, pulls, pulls, runs, checks)
    print("done: " + ", ".join(f"{kind} {count}" for kind, count in sorted(crowd.counts.items())))
    print("refused as expected: " + ", ".join(f"{kind} {count}" for kind, count in sorted(crowd.refused.items())))
    assert not crowd.failures, "\n".join(crowd.failures)
    store.settle()
    store.whole()
    store.run("image", "prune", "-f")
    assert not list(store.strays())
    for name in crowd.ledger.names():
        found = None
        if store.has(name):
            found = store.run("run", "--rm", "--network", "none", name, "cat", "/n").strip()
        assert found in crowd.ledger.possible(name), name
    store.whole()
    assert "leftover" not in store.run("fsck")
    assert not list(store.emptied())
    store.settle()
    assert all(crowd.counts[kind] for kind in ("build", "tag", "rmi", "pull", "push", "save", "load", "run", "commit"))
