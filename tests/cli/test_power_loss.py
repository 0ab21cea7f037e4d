"""A power loss at any instant: what was reported done is there and whole, and what is left over goes with the next prune.

The store is on a loop-mounted ext4 (data=ordered), whose backing file lies on an XFS. At random moments that file is cloned
(FICLONE: one instant, no copying): it holds what the ext4 has handed to its disk by then, and nothing that only its page
cache knows. Each clone is mounted, which replays its journal, checked against the ledger of what had been reported, read
through by `fsck`, and pruned. What a disk loses of its own volatile cache is not simulated.

That the method finds losses is a test as well: with `--no-sync` there must be some.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from core import syscalls
from tests.conftest import needs
from tests.suites.archives import docker_archive, tar
from tests.suites.driven import Driven
from tests.suites.layouts import tar_of
from tests.suites.ledger import Ledger

COPIES = 10  # in each phase
SECONDS = 4.0  # of work in each phase
FICLONE = 0x40049409
pytestmark = [needs("crun", "mkfs.ext4", "mkfs.xfs", "mount"), pytest.mark.timeout(300)]
Work = Callable[["Scene", str], Iterator[None]]


class Copy(NamedTuple):
    """The disk as it was at one instant between `begin` and `end`."""

    path: Path
    begin: float
    end: float


class Scene:
    """A store on a disk that can be cloned, with the commands that work on it."""

    def __init__(self, tmp_path: Path, base: Path, registry: str, *, sync: bool = True) -> None:
        self.base, self.registry, self.sync = base, registry, sync
        self.ground, self.disk = tmp_path / "ground", tmp_path / "disk"
        self.ledger = Ledger()
        self.failures: list[str] = []
        self.done = 0
        self._make(tmp_path / "xfs.img", "2G", ["mkfs.xfs", "-q"], self.ground)
        # Where nobody waits for the disk, nothing is to be written down by the mere passing of time either.
        self._make(self.ground / "disk.img", "300M", ["mkfs.ext4", "-q"], self.disk, "" if sync else ",commit=300")
        self.store = Driven(self.disk / "store", sync=sync)

    def _make(self, image: Path, size: str, make: list[str], place: Path, options: str = "") -> None:
        place.mkdir()
        subprocess.run(["truncate", "-s", size, image], check=True)
        env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        subprocess.run([*make, image], check=True, env=env, stdout=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", f"loop{options}", image, place], check=True)

    def close(self) -> None:
        for place in (self.disk, self.ground):
            if place.is_mount():
                syscalls.unmount(place)

    def context(self, me: str, number: int) -> Path:
        directory = self.base / me
        directory.mkdir(exist_ok=True)
        (directory / "file").write_bytes(random.Random(f"{me}{number}").randbytes(500_000))
        text = f"FROM bb\nCOPY file /file\nRUN echo {me} {number} > /n; seq 9999 > /seq\n"
        (directory / "Dockerfile").write_text(text)
        return directory

    def do(self, name: str, value: Callable[[str], str | None], *words: object) -> str:
        """Run a command; what it prints, as `value` reads it, is from now on promised under `name`."""
        begin = time.monotonic()
        said = self.store.run(*words).strip()
        if name:
            self.ledger.add(name, begin, value(said))
        self.done += 1
        return said

    def id_of(self, name: str) -> Callable[[str], str]:
        """For `do`: the image that the name stands for, whatever was printed."""
        return lambda said: self.store.run("images", "-q", "--no-trunc", name).strip()

    def copy(self, number: int) -> Copy:
        path = self.ground / f"copy{number}.img"
        begin = time.monotonic()
        with (self.ground / "disk.img").open("rb") as source, path.open("wb") as target:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        return Copy(path, begin, time.monotonic())

    def work(self, *works: Work) -> list[Copy]:
        """Let them work for a while, and the power fail several times meanwhile."""
        deadline = time.monotonic() + SECONDS
        threads = [
            threading.Thread(target=self._until, args=(deadline, work, f"{work.__name__}{number}"))
            for number, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        copies = []
        for number, moment in enumerate(sorted(random.uniform(0.2, SECONDS) for _ in range(COPIES))):
            time.sleep(max(0, deadline - SECONDS + moment - time.monotonic()))
            copies.append(self.copy(number))
        for thread in threads:
            thread.join()
        assert not self.failures, self.failures
        return copies

    def _until(self, deadline: float, work: Work, me: str) -> None:
        try:
            for _ in work(self, me):
                if time.monotonic() > deadline:
                    return
        except BaseException as error:
            self.failures.append(f"{me}: {error}")

    def losses(self, copies: list[Copy]) -> list[str]:
        with ThreadPoolExecutor(2) as pool:
            found = [*itertools.chain.from_iterable(pool.map(self._losses, copies))]
        for copy in copies:
            copy.path.unlink()
        return found

    def _losses(self, copy: Copy) -> list[str]:
        place = copy.path.with_suffix("")
        place.mkdir(exist_ok=True)
        subprocess.run(["mount", "-o", "loop", copy.path, place], check=True)
        try:
            return [f"{copy.path.name}: {loss}" for loss in self._compare(place, copy)]
        finally:
            syscalls.unmount(place)

    def _compare(self, place: Path, copy: Copy) -> Iterator[str]:
        store = Driven(place / "store", sync=self.sync)
        listed = store.end("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
        if listed.code:
            yield listed.err
        found: dict[str, str] = dict(line.split() for line in listed.out.splitlines())  # type: ignore[misc]
        found |= {path.name: sha256(path) for path in place.glob("*.tar")}
        for name in self.ledger.names():
            possible = self.ledger.possible(name, copy.begin, copy.end)
            if found.get(name) not in possible:
                yield f"{name} is {found.get(name)}, not one of {possible}"
        for words in (["fsck"], ["image", "prune", "-f"]):
            ended = store.end(*words)
            if ended.code:
                yield ended.out + ended.err
        yield from store.strays()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def gone(said: str) -> None:
    return None


def builds(scene: Scene, me: str) -> Iterator[None]:
    """By turns anew and from the cache, each under a name that another image had."""
    for number in itertools.count():
        name, context = f"{me}:{number % 3}", scene.context(me, number // 2)
        scene.do(name, str, "build", "-q", *(["--no-cache"] if number % 4 == 0 else []), "-t", name, context)
        yield


def pulls(scene: Scene, me: str) -> Iterator[None]:
    for number in itertools.count():
        name = f"{scene.registry}/app{number % 3}:1"
        scene.do(name, scene.id_of(name), "pull", "-q", name)
        yield
        if number % 3 == 2:
            for old in range(3):
                name = f"{scene.registry}/app{old}:1"
                scene.do(name, gone, "rmi", name)
                yield


def removes(scene: Scene, me: str) -> Iterator[None]:
    """Images come and dangle; prunes and removals take them, what the cache keeps included."""
    for number in itertools.count():
        name = f"{me}:{number % 2}"
        scene.do(name, str, "build", "-q", "-t", name, scene.context(me, number))
        yield
        scene.do("", gone, "image", "prune", "-f")
        yield
        if number % 2:
            scene.do(name, gone, "rmi", name)
            yield
        scene.do("", gone, "builder", "prune", "-af")
        yield


def tags(scene: Scene, me: str) -> Iterator[None]:
    """One name moves between two images, and is taken away now and then."""
    ids = [scene.store.run("images", "-q", "--no-trunc", name).strip() for name in ("bb", "steady:0")]
    for number in itertools.count():
        name, which = f"{me}:{number % 3}", number // 3 % 2
        scene.do(name, lambda said, id=ids[which]: id, "tag", ("bb", "steady:0")[which], name)  # type: ignore[misc]
        yield
        if number % 5 == 4:
            scene.do(name, gone, "rmi", name)
            yield


def moves(scene: Scene, me: str) -> Iterator[None]:
    """Archives are written to the disk and read in again, over names that others had."""
    for number in itertools.count():
        name, path = f"steady:{number % 2}", scene.disk / f"{me}-{number % 3}.tar"
        scene.do(path.name, lambda said, path=path: sha256(path), "save", "-q", "-o", path, name)  # type: ignore[misc]
        yield
        scene.do(name, gone, "rmi", name)
        yield
        scene.do("", gone, "builder", "prune", "-af")
        scene.do(name, scene.id_of(name), "load", "-q", "-i", path)
        yield


def strangers(scene: Scene, me: str) -> Iterator[None]:
    """Archives whose layers others have packed, of which only recipes are kept."""
    for number in itertools.count():
        name, path = f"{me}-{number % 2}:1", scene.base / f"{me}.tar"
        content = random.Random(f"{me}{number}").randbytes(500_000)
        layer = tar_of({"z/large": content, "a": b"%d" % number, "z/more": content[:999]})
        path.write_bytes(tar(*docker_archive(layer, tags=[name])))
        scene.do(name, scene.id_of(name), "load", "-q", "-i", path)
        yield
        if number % 4 == 3:
            scene.do(name, gone, "rmi", name)
            yield


PHASES: dict[str, tuple[Work, ...]] = {
    "build": (builds, builds),
    "pull": (pulls,),
    "remove": (removes, removes),
    "tag": (tags, tags),
    "move": (moves,),
    "strangers": (strangers, strangers),
}


@pytest.fixture
def scene(tmp_path: Path, rootfs_tar: Path, registry: str, request: pytest.FixtureRequest) -> Iterator[Scene]:
    base = tmp_path / "contexts"
    (base / "bb").mkdir(parents=True)
    (base / "bb/Dockerfile").write_text("FROM scratch\nADD rootfs.tar.gz /\n")
    shutil.copy(rootfs_tar, base / "bb")
    scene = Scene(tmp_path, base, registry, sync=getattr(request, "param", True))
    try:
        scene.do("bb:latest", str, "build", "-q", "-t", "bb", base / "bb")
        for number in range(2):
            name = f"steady:{number}"
            scene.do(name, str, "build", "-q", "-t", name, scene.context("steady", number))
        yield scene
        scene.store.settle()
    finally:
        scene.close()


@pytest.mark.parametrize("phase", PHASES)
def test_what_was_reported_survives_a_power_loss(scene: Scene, phase: str) -> None:
    if phase == "pull":
        for number in range(3):
            name = f"{scene.registry}/app{number}:1"
            scene.store.run("build", "-q", "-t", name, scene.context("app", number))
            scene.store.run("push", "-q", name)
            scene.store.run("rmi", name)
        scene.store.run("builder", "prune", "-af")
    scene.done = 0
    copies = scene.work(*PHASES[phase])
    print(f"{phase}: {scene.done} commands, {len(copies)} power losses")
    assert not scene.losses(copies)


@pytest.mark.parametrize("scene", [False], indirect=True)
def test_without_waiting_for_the_disk_something_is_lost(scene: Scene) -> None:
    losses = scene.losses(scene.work(builds, tags))
    print(f"without waiting for the disk: {len(losses)} losses, such as {losses[:1]}")
    assert any("not one of" in loss for loss in losses)
