"""A full disk fails the command that needed the space, in one clear line, and nothing else; and it can be emptied again.

The disks are real: small loop-mounted ext4 file systems, one with the store, filled to the last block.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import syscalls
from tests.conftest import free_port, needs, wait_for
from tests.suites.driven import ROOT, Driven, Ended
from tests.suites.supervised import until

pytestmark = [needs("crun", "mkfs.ext4", "mount")]
NOISE = random.Random(2).randbytes(6_000_000)


def disk(image: Path, size: str) -> Path:
    place = image.with_suffix("")
    place.mkdir()
    subprocess.run(["truncate", "-s", size, image], check=True)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    return place


def fill(place: Path, leave: int = 0) -> Path:
    """Take all the room but `leave` bytes."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"f" * size)
        os.fsync(file.fileno())
    os.sync()
    if leave:
        os.truncate(filler, filler.stat().st_size - leave)
    return filler


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    place = disk(tmp_path / "small.img", "48M")
    yield place
    syscalls.unmount(place)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "noise").write_bytes(NOISE)
    return directory


@pytest.fixture
def store(small: Path, rootfs_tar: Path, tmp_path: Path) -> Driven:
    """With the images `bb` and `other`, the latter on top of it."""
    base = tmp_path / "base"
    base.mkdir()
    shutil.copy(rootfs_tar, base)
    (base / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar.gz /\n")
    store = Driven(small / "store")
    store.run("build", "-q", "-t", "bb", base)
    (base / "Dockerfile").write_text("FROM bb\nRUN echo alive > /n\n")
    store.run("build", "-q", "-t", "other", base)
    return store


def refused(ended: Ended, code: int = 1) -> None:
    """It failed with `code`, and said in a line that the disk is full, and in another what to do."""
    assert ended.code == code, ended
    assert "no space left" in ended.err.lower() or "disk is full" in ended.err, ended
    assert "Traceback" not in ended.err and "defect" not in ended.err and ended.err.count("lamella: ") == 1, ended


def alive(store: Driven, filler: Path) -> None:
    """Nothing that was there is lost, and nothing of what failed is left."""
    filler.unlink()
    store.settle()
    store.run("image", "prune", "-f")
    store.whole()
    assert not list(store.strays())
    assert store.run("run", "--rm", "--network", "none", "other", "cat", "/n") == "alive\n"


@pytest.fixture
def elsewhere(tmp_path: Path, rootfs_tar: Path, context: Path) -> Driven:
    """A store with room, where the image `large` is."""
    shutil.copy(rootfs_tar, context)
    (context / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar.gz /\nCOPY noise /noise\n")
    store = Driven(tmp_path / "elsewhere")
    store.run("build", "-q", "-t", "large", context)
    return store


def test_a_pull_onto_a_full_disk(store: Driven, elsewhere: Driven, registry: str, small: Path) -> None:
    name = f"{registry}/x/large:1"
    elsewhere.run("tag", "large", name)
    elsewhere.run("push", "-q", name)
    filler = fill(small, 4_000_000)
    refused(store.end("pull", "-q", name))
    assert not store.has(name)
    alive(store, filler)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_a_load_and_a_copy_onto_a_full_disk(
    store: Driven, elsewhere: Driven, small: Path, tmp_path: Path, form: str
) -> None:
    elsewhere.run("save", "-q", "--format", form, "-o", tmp_path / "large.tar", "large")
    filler = fill(small, 4_000_000)
    refused(store.end("load", "-q", "-i", tmp_path / "large.tar"))
    refused(store.end("image", "cp", "-q", f"{form}:{tmp_path}/large.tar", "copied"))
    assert not store.has("large") and not store.has("copied")
    alive(store, filler)


def test_a_save_onto_a_full_disk_keeps_the_file_that_was_there(elsewhere: Driven, small: Path) -> None:
    (small / "out.tar").write_bytes(b"old")
    fill(small, 1_000_000)
    refused(elsewhere.end("save", "-q", "-o", small / "out.tar", "large"))
    refused(elsewhere.end("image", "cp", "-q", "large", f"oci:{small}/layout:1"))
    assert (small / "out.tar").read_bytes() == b"old"
    assert set(os.listdir(small)) - {"layout"} == {"out.tar", "filler", "lost+found"}


def test_a_commit_and_a_build_on_a_full_disk(store: Driven, small: Path, context: Path) -> None:
    """What a stopped container has written becomes a layer without a copy; before it can write again it needs one."""
    for name, rest in (("job", ""), ("going", "; echo ready; sleep 1000")):
        way = ("-d",) if rest else ()
        store.run("run", *way, "--name", name, "--network", "none", "bb", "sh", "-c", f"seq 999999 > /big{rest}")
    until(lambda: "ready" in store.run("logs", "going"))
    (context / "Dockerfile").write_text("FROM bb\nCOPY noise /noise\n")
    filler = fill(small, 3_000_000)
    refused(store.end("commit", "going", "made"))
    refused(store.end("build", "-q", "-t", "made", context))
    store.run("commit", "job", "lent")
    refused(store.end("cp", "job:/big", "-"))
    assert "A /big" in store.run("diff", "job") and not list(small.glob("store/snapshots/*/copy"))
    store.run("rm", "-f", "going")
    (context / "Dockerfile").write_text("FROM bb\nRUN echo new > /n\n")
    assert not store.has("made")
    store.run("rm", "job")
    store.run("rmi", "lent")
    alive(store, filler)


def test_whatever_is_asked_of_a_disk_without_a_free_block_ends_in_a_line(
    store: Driven, small: Path, context: Path
) -> None:
    """Success is fine as well: where the catalog's log has room, a tag needs none."""
    (context / "Dockerfile").write_text("FROM bb\nRUN echo new > /n\n")
    filler = fill(small)
    for code, *words in (
        (1, "tag", "bb", "new"),
        (125, "run", "--rm", "--network", "none", "bb", "true"),
        (125, "run", "-d", "--network", "none", "bb", "true"),
        (1, "build", "-q", "-t", "new", context),
        (1, "images"),
        (1, "fsck"),
    ):
        ended = store.end(*words)
        if ended.code:
            refused(ended, code)
    ids = store.run("ps", "-aq").split()
    store.run("rm", *ids) if ids else None
    alive(store, filler)


@pytest.mark.parametrize("words", [("rmi", "other"), ("image", "prune", "-af"), ("builder", "prune", "-af")])
def test_room_is_made_on_a_disk_without_a_free_block(store: Driven, small: Path, words: tuple[str, ...]) -> None:
    if words[0] == "builder":
        store.run("rmi", "other", "bb")
    else:
        store.run("builder", "prune", "-af")
    before = len(os.listdir(store.root / "layers"))
    filler = fill(small)
    assert store.end("run", "--rm", "--network", "none", "bb", "true").code  # whatever room there was is used up
    ended = store.end(*words)
    assert ended.code == 0, ended
    assert len(os.listdir(store.root / "layers")) < before
    filler.unlink()
    store.whole()
    assert not list(store.strays())


@pytest.fixture
def full_registry(tmp_path: Path) -> Iterator[str]:
    """A registry whose disk is too small for `large`."""
    place, address = disk(tmp_path / "served.img", "16M"), f"127.0.0.1:{free_port()}"
    fill(place, 3_000_000)
    command = [sys.executable, "-m", "lamella", "registry", "serve", "--listen", address, "--data", place / "registry"]
    with (tmp_path / "served.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
        try:
            wait_for(f"http://{address}/v2/")
            yield address
        finally:
            process.terminate()
            process.wait(10)
            syscalls.unmount(place)


def test_a_push_to_a_registry_whose_disk_is_full(elsewhere: Driven, full_registry: str, tmp_path: Path) -> None:
    name = f"{full_registry}/x/large:1"
    elsewhere.run("tag", "large", name)
    refused(elsewhere.end("push", "-q", name))
    assert "Traceback" not in (tmp_path / "served.log").read_text()
    elsewhere.whole()
