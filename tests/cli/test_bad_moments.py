"""A full disk, a Ctrl-C, a second process: one clear line, the right exit code, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import syscalls
from tests.suites.driven import Driven

Lamella = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("crun"), reason="needs root and crun")


def command(store: Path, *words: object) -> subprocess.Popen[str]:
    return Driven(store).start(*words)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "big").write_bytes(random.Random(1).randbytes(30_000_000))
    return directory


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 48 MB."""
    image, disk = tmp_path / "disk.img", tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["truncate", "-s", "48M", image], check=True)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    yield disk
    syscalls.unmount(disk)


def test_a_full_disk_is_said_in_a_line_and_costs_nothing_that_was_done(
    small_disk: Path, rootfs_tar: Path, context: Path
) -> None:
    def run(*words: object) -> tuple[int, str, str]:
        with command(small_disk / "store", *words) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    base = context.parent / "base"
    base.mkdir()
    shutil.copy(rootfs_tar, base)
    (base / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar.gz /\n")
    assert run("build", "-q", "-t", "bb", base)[0] == 0
    (context / "Dockerfile").write_text("FROM bb\nCOPY big /one\nCOPY big /two\n")
    code, out, err = run("build", "-q", "-t", "full", context)
    assert code == 1 and not out and "Traceback" not in err
    assert "full" in err or "No space" in err
    (context / "Dockerfile").write_text("FROM bb\nRUN dd if=/dev/zero of=/f bs=1M count=64\n")
    code, _, err = run("build", "-q", "-t", "full", context)
    assert code == 1 and "No space left" in err
    assert run("image", "prune", "-f")[0] == 0
    assert run("run", "--rm", "--network", "none", "bb", "echo", "alive")[:2] == (0, "alive\n")
    assert run("fsck")[0] == 0 and run("images", "-q", "full") == (0, "", "")


@pytest.mark.parametrize("phase", ["build", "pull", "push"])
def test_ctrl_c_ends_every_phase_with_130_and_leaves_nothing(
    phase: str, lamella: Lamella, base: str, registry: str, store_root: Path, tmp_path: Path, context: Path
) -> None:
    name = f"{registry}/x/y:1"
    (context / "Dockerfile").write_text("FROM bb\nCOPY big /big\nRUN sleep 1.3\n")
    words: dict[str, tuple[object, ...]] = {
        "build": ("build", "-t", "never", context),
        "pull": ("pull", name),
        "push": ("push", name),
    }
    store = store_root
    if phase in ("pull", "push"):
        (context / "Dockerfile").write_text("FROM bb\nCOPY big /big\n")
        lamella("build", "-q", "-t", name, context)
    if phase == "pull":
        lamella("push", "-q", name)
        store = tmp_path / "elsewhere"
    for delay in (0.15, 0.3, 0.5):
        with command(store, *words[phase]) as process:
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=20)
        assert process.returncode in (0, 130), err  # 0: it was through already
        assert "Traceback" not in err and not Driven(store).processes()
    lamella("fsck")
    assert not lamella("images", "-q", "never").stdout


@pytest.mark.parametrize("phase", ["load", "save", "commit", "cp", "cp in", "prune"])
def test_ctrl_c_in_what_moves_images_leaves_nothing(
    phase: str, base: str, store_root: Path, tmp_path: Path, context: Path
) -> None:
    store, archive, out = Driven(store_root), tmp_path / "moved.tar", tmp_path / "out.tar"
    (context / "Dockerfile").write_text("FROM bb\nCOPY big /big\nRUN echo whole > /n\n")
    store.run("build", "-q", "-t", "moved", context)
    store.run("save", "-q", "-o", archive, "moved")
    store.run("run", "--name", "job", "--network", "none", "bb", "sh", "-c", AGAIN)
    words: dict[str, tuple[object, ...]] = {
        "load": ("load", "-q", "-i", archive),
        "save": ("save", "-q", "-o", out, "moved"),
        "commit": ("commit", "job", "made"),
        "cp": ("image", "cp", "-q", "moved", f"oci-archive:{out}"),
        "cp in": ("image", "cp", "-q", f"docker-archive:{archive}", "made"),
        "prune": ("image", "prune", "-f"),
    }
    codes = [_interrupted(store, phase, words[phase], archive, delay) for delay in DELAYS]
    print(f"{phase}: {codes.count(130)} of {len(codes)} were interrupted")
    assert 130 in codes
    for name in ("moved", "made"):
        if store.has(name) and phase != "prune":
            assert store.run("run", "--rm", "--network", "none", name, "cat", "/n") == "whole\n"
    assert store.has("moved") or phase in ("load", "cp in", "prune")
    assert not list(tmp_path.glob(".*"))
    store.whole()


# Seconds since the command has opened the store: before that Python itself, and no lamella, meets the signal.
DELAYS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)
AGAIN = "seq 3000000 > /big; cat /proc/sys/kernel/random/uuid > /u; echo whole > /n"


def _at_work(process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError):
            descriptors = Path(f"/proc/{process.pid}/fd")
            if any(os.readlink(fd).endswith("catalog.db") for fd in descriptors.iterdir()):
                return
        time.sleep(0.001)


def _interrupted(store: Driven, phase: str, words: tuple[object, ...], archive: Path, delay: float) -> int:
    if phase in ("load", "cp in"):  # so that there is something to bring in
        store.end("rmi", "-f", "moved", "made")
        store.run("builder", "prune", "-af")
    if phase == "prune":  # so that there is something to remove
        store.run("builder", "prune", "-af")
        store.run("load", "-q", "-i", archive)
        store.run("tag", "bb", "moved")
    if phase == "commit":  # so that there is a layer to make
        store.run("start", "-a", "job")
    with store.start(*words) as process:
        _at_work(process)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode in (0, 130) and "Traceback" not in err, err  # 0: it was through already
    assert process.returncode == 0 or err.strip() == "lamella: interrupted", err
    store.settle()
    store.run("image", "prune", "-f")  # a lock or a note of what it has not removed any more may be left to it
    assert not list(store.strays()), (phase, delay)
    return process.returncode


def test_ctrl_c_reaches_the_command_in_the_container_which_decides(base: str, store_root: Path) -> None:
    script = "trap 'exit 7' INT; echo ready; while :; do sleep 0.05; done"
    with command(store_root, "run", "--rm", "--network", "none", base, "sh", "-c", script) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 7
    assert not Driven(store_root).processes()


def test_builds_prunes_and_removals_share_a_store(lamella: Lamella, base: str, store_root: Path, context: Path) -> None:
    (context / "big").write_bytes(b"x" * 100_000)
    (context / "Dockerfile").write_text("FROM bb\nARG N\nCOPY big /big\nRUN echo $N > /n\nRUN cat /n > /m\n")
    for number in range(6):
        together = [
            command(store_root, "build", "-q", "--no-cache", "-t", "moving", "--build-arg", f"N={number}", context),
            command(store_root, "image", "prune", "-f"),
            command(store_root, "build", "-q", "-t", f"kept{number}", "--build-arg", f"N={number}", context),
            command(store_root, "image", "prune", "-f"),
        ]
        for process in together:
            with process:
                _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
        assert lamella("run", "--rm", "--network", "none", f"kept{number}", "cat", "/m").stdout == f"{number}\n"
        assert lamella("run", "--rm", "--network", "none", "moving", "cat", "/m").stdout == f"{number}\n"
    lamella("fsck")
