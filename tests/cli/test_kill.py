"""kill -9 at any instant: the next command works, what was reported done is whole, no mount and no process is left.

Builds, pulls, pushes and prunes are killed at random moments of their span, by turns the whole group or the front process
alone; the number of real kills in each phase is printed and must be at least `KILLS`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = 28
ROUNDS_AT_MOST = KILLS * 4
MARK = f"kill-test-{os.getpid()}"
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("crun"), reason="needs root and crun"),
    pytest.mark.timeout(600),
]


class Store:
    """A private store, driven by the command line."""

    def __init__(self, root: Path, context: Path) -> None:
        self.root, self.context = root, context
        self.env = {**os.environ, "LAMELLA_ROOT": str(root), "PYTHONPATH": str(ROOT)}
        self.mounts = mounts()

    def start(self, *words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lamella", *map(str, words)], env=self.env, cwd=ROOT, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *words: object) -> str:
        with self.start(*words) as process:
            output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, f"lamella {' '.join(map(str, words))}: exit {process.returncode}: {output}"
        return output

    def dockerfile(self, number: int) -> None:
        (self.context / "Dockerfile").write_text(
            f"FROM bb\nCOPY big /big{number}\nRUN echo {MARK} >/dev/null; sleep 0.05; echo {number} > /n\nRUN echo b > /b\n"
        )

    def build(self, number: int) -> None:
        self.dockerfile(number)
        self.run("build", "-q", "-t", f"k{number}", self.context)


def mounts() -> int:
    return len(Path("/proc/self/mounts").read_text().splitlines())


def left_over(root: Path) -> list[str]:
    """The command lines of processes that belong to the store at `root` or carry the test's mark."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if (str(root).encode() in words + environ or MARK.encode() in words) and words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


def killed(process: subprocess.Popen[str], span: float, generator: random.Random) -> bool:
    """Whether the process was still at work when it was killed; by turns with its group and alone."""
    time.sleep(generator.uniform(0.02, 1.0) * span)
    try:
        if generator.random() < 0.5:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass
    process.communicate()
    return process.returncode == -9


def settle(store: Store) -> None:
    for _ in range(100):
        if not left_over(store.root) and mounts() <= store.mounts:
            return
        time.sleep(0.02)
    raise AssertionError(f"left over: {left_over(store.root)}, {mounts() - store.mounts} mounts")


def kill_often(
    store: Store,
    prepare: Callable[[int], None],
    words: Callable[[int], tuple[object, ...]],
    after: Callable[[int], None],
) -> int:
    """Prepare, start, kill, check; until there were enough real kills. Returns their number."""
    generator = random.Random()
    prepare(0)
    begin = time.perf_counter()
    store.run(*words(0))
    span = time.perf_counter() - begin
    kills = 0
    for number in range(1, ROUNDS_AT_MOST):
        prepare(number)
        process = store.start(*words(number))
        with process:
            kills += killed(process, span, generator)
        assert process.returncode in (0, -9), f"round {number} ended with {process.returncode}"
        settle(store)
        after(number)
        if kills >= KILLS:
            break
    return kills


@pytest.fixture
def store(store_root: Path, base: str, tmp_path: Path) -> Iterator[Store]:
    context = tmp_path / "context"
    context.mkdir()
    (context / "big").write_bytes(random.Random(1).randbytes(20_000_000))
    found = Store(store_root, context)
    yield found
    settle(found)


def whole(store: Store) -> None:
    store.run("fsck")


def test_killed_builds(store: Store) -> None:
    done: set[int] = set()

    def after(number: int) -> None:
        assert store.run("images", "-q", "bb").strip()
        if store.run("images", "-q", f"k{number}").strip():
            done.add(number)
        if number % 7 == 0:
            whole(store)
        if number % 10 == 0:
            store.run("image", "prune", "-f")

    kills = kill_often(
        store, store.dockerfile, lambda n: ("build", "-q", "--no-cache", "-t", f"k{n}", store.context), after
    )
    whole(store)
    for number in sorted(done)[-5:]:
        assert store.run("run", "--rm", "--network", "none", f"k{number}", "cat", "/n", "/b") == f"{number}\nb\n"
    print(f"builds: {kills} killed, {len(done)} finished")
    assert kills >= KILLS


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
            whole(elsewhere)
        if elsewhere.run("images", "-q", name).strip():
            assert elsewhere.run("run", "--rm", "--network", "none", name, "cat", "/n") == "1\n"

    kills = kill_often(elsewhere, prepare, lambda n: ("pull", "-q", name), after)
    whole(elsewhere)
    elsewhere.run("pull", "-q", name)
    assert elsewhere.run("run", "--rm", "--network", "none", name, "cat", "/n") == "1\n"
    print(f"pulls: {kills} killed")
    assert kills >= KILLS


def test_killed_pushes(store: Store, registry: str) -> None:
    store.build(1)

    def prepare(number: int) -> None:
        store.run("tag", "k1", f"{registry}/kill/app{number}:1")

    def after(number: int) -> None:
        if number % 7 == 0:
            whole(store)

    kills = kill_often(store, prepare, lambda n: ("push", "-q", f"{registry}/kill/app{n}:1"), after)
    store.run("tag", "k1", f"{registry}/kill/last:1")
    store.run("push", "-q", f"{registry}/kill/last:1")
    whole(store)
    print(f"pushes: {kills} killed")
    assert kills >= KILLS


def test_killed_prunes(store: Store) -> None:
    store.build(1)

    def prepare(number: int) -> None:
        for edition in range(3):
            (store.context / "Dockerfile").write_text(
                f"FROM bb\nCOPY big /big{number}-{edition}\nRUN echo {number}-{edition} > /n\n"
            )
            store.run("build", "-q", "--no-cache", "-t", "moving", store.context)

    def after(number: int) -> None:
        assert store.run("run", "--rm", "--network", "none", "moving", "cat", "/n") == f"{number}-2\n"
        assert store.run("run", "--rm", "--network", "none", "k1", "cat", "/n") == "1\n"
        if number % 5 == 0:
            whole(store)

    kills = kill_often(store, prepare, lambda n: ("image", "prune", "-f"), after)
    store.run("image", "prune", "-f")
    whole(store)
    assert not store.run("image", "ls", "-q", "-f", "dangling=true").strip()
    print(f"prunes: {kills} killed")
    assert kills >= KILLS
