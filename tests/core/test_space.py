"""What files take of the disk, and what it gets back for them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.removal import remove
from core.space import Space, occupied
from tests.conftest import needs

MIB = 1 << 20


def du(path: Path) -> int:
    return int(subprocess.check_output(["du", "-s", "-B1", path]).split()[0])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "a/b").mkdir(parents=True)
    (top / "a/large").write_bytes(b"x" * 3 * MIB)
    (top / "a/b/same").hardlink_to(top / "a/large")
    (top / "a/b/small").write_bytes(b"y")
    (top / "a/link").symlink_to("/etc")
    with (top / "hole").open("wb") as file:
        file.truncate(1 << 40)
    return top


def test_a_tree_takes_what_du_says(tree: Path) -> None:
    assert Space(tree.stat().st_dev).of(tree) == du(tree) == occupied(tree)


def test_what_two_trees_share_is_counted_with_the_first(tree: Path) -> None:
    (tree.parent / "other").mkdir()
    (tree.parent / "other/same").hardlink_to(tree / "a/large")
    space = Space(tree.stat().st_dev)
    assert space.of(tree) > 3 * MIB and space.of(tree.parent / "other") < MIB


def test_other_file_systems_do_not_count(tree: Path) -> None:
    assert Space(os.stat("/proc").st_dev).of(tree) == 0


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert occupied(tmp_path / "nothing") == 0


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """A file system that clones files."""
    image, mountpoint = tmp_path / "xfs.img", tmp_path / "xfs"
    mountpoint.mkdir()
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    subprocess.run(["/sbin/mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mountpoint], check=True)
    yield mountpoint
    subprocess.run(["umount", mountpoint], check=True)


@needs("mkfs.xfs")
def test_what_a_clone_shares_does_not_come_back(xfs: Path) -> None:
    """`du` counts the bytes of both; the disk has them once, and gets them back with the last."""
    (xfs / "layer").mkdir()
    (xfs / "mine").write_bytes(b"x" * 8 * MIB)
    subprocess.run(["cp", "--reflink=always", xfs / "mine", xfs / "layer/clone"], check=True)
    with (xfs / "layer/clone").open("r+b") as file:
        file.write(b"y" * MIB)
    os.sync()
    assert du(xfs / "layer") >= 8 * MIB and Space(xfs.stat().st_dev).of(xfs / "layer") == du(xfs / "layer")
    assert MIB <= occupied(xfs / "layer") <= MIB + 64 * 1024
    assert MIB <= remove(xfs / "layer") <= MIB + 64 * 1024
    end = time.monotonic() + 10
    while occupied(xfs / "mine") < 8 * MIB and time.monotonic() < end:
        os.statvfs(xfs)  # XFS forgets a removed file a little later; this hurries it
        time.sleep(0.02)
    assert remove(xfs / "mine") == 8 * MIB
