"""A copy of a layer's directory that nothing can tell from the original."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from layer.pack import pack
from snapshot.capture import Capture
from snapshot.duplicate import SMALL_BYTES, duplicate
from store.store import Store
from tests.conftest import needs
from tests.suites.snapshots import base, shell, write

pytestmark = needs("mount")


def listed(tree: Path) -> dict[str, tuple[object, ...]]:
    """Everything that can be known about the tree but inode numbers and the directories' sizes."""
    found = {}
    for path in [tree, *sorted(tree.rglob("*"))]:
        s = path.lstat()
        xattrs = {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }
        links = s.st_nlink if not stat.S_ISDIR(s.st_mode) else 0
        found[str(path.relative_to(tree))] = (
            s.st_mode,
            s.st_uid,
            s.st_gid,
            s.st_mtime_ns,
            s.st_rdev,
            links,
            str(xattrs),
        )
    return found


def odd(tree: Path) -> None:
    base(tree)
    os.mknod(tree / "etc/whiteout", stat.S_IFCHR, 0)
    os.mknod(tree / "null", 0o640 | stat.S_IFCHR, os.makedev(1, 3))
    os.setxattr(tree / "usr", "trusted.overlay.opaque", b"y")
    os.setxattr(tree / "var/log", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.link(tree / "bin", tree / "linked link", follow_symlinks=False)
    (tree / "holes").touch()
    os.truncate(tree / "holes", 50 << 20)
    (tree / "large").write_bytes(os.urandom(SMALL_BYTES + 5))
    (tree / "a\nb").touch()
    (tree / "usr").chmod(0o2711)


def test_it_is_the_same_to_the_last_attribute(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    odd(source)
    duplicate(source, tmp_path / "copy")
    assert listed(tmp_path / "copy") == listed(source)
    assert pack(tmp_path / "copy") == pack(source)
    assert (tmp_path / "copy/holes").stat().st_blocks == 0
    assert (tmp_path / "copy/etc/linked").stat().st_ino == (tmp_path / "copy/etc/one").stat().st_ino


def test_overlays_own_marks_and_sockets_stay_behind(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source / "d/file", "x")
    os.setxattr(source / "d", "trusted.overlay.origin", b"1")
    os.setxattr(source / "d/file", "trusted.overlay.origin", b"1")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(source / "d/socket"))
    duplicate(source, tmp_path / "copy")
    assert os.listdir(tmp_path / "copy/d") == ["file"]
    assert os.listxattr(tmp_path / "copy/d") == os.listxattr(tmp_path / "copy/d/file") == []


def test_any_depth_is_copied(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    shell(tmp_path / "source", "for i in $(seq 300); do mkdir d; echo $i >file; cd d; done; cd /")
    duplicate(tmp_path / "source", tmp_path / "copy")
    subprocess.run(["diff", "-r", tmp_path / "source", tmp_path / "copy"], check=True)


def test_a_capture_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "source/file", "x")
    with Store.open(tmp_path / "store") as store:
        with pytest.raises(RuntimeError), Capture(store) as capture:
            capture.take(tmp_path / "source")
            raise RuntimeError
        with Capture(store) as capture:
            capture.take(tmp_path / "source")
            assert capture.enter([], []) and len(os.listdir(store.root / "layers")) == 1
        with Capture(store) as capture:
            (tmp_path / "empty").mkdir()
            capture.take(tmp_path / "empty")
            assert capture.enter([], []) is None
        assert len(os.listdir(store.root / "layers")) == 1 and os.listdir(store.root / "tmp") == []
