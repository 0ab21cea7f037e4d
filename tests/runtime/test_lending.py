"""A stopped container is committed without copying: its files become the layer, and it keeps them until it writes again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapshot.layers import Layers
from snapshot.overlay import Overlay
from store.collect import collect
from store.store import Store
from tests.conftest import ROOT, Lamella, needs

pytestmark = needs("crun", "conmon")

STEPS = "mkdir -p /a/b; echo x > /a/b/c; ln /a/b/c /hard; rm /etc/group; rm -r /root; mkdir /root; chmod 700 /tmp"
# Commits as the command line does, and dies at the named moment.
DYING = """
import os, sys
from pathlib import Path
import store.layers, store.store
moment = sys.argv.pop(1)
def die(*_, **__): os._exit(9)
if moment == "before": Path.symlink_to = die
if moment == "moved": store.store.Store.sync_layers = lambda self: die() if not list(self.root.glob("snapshots/*/upper")) else None
if moment == "entered": store.layers.LayerTable.add = die
if moment == "fails":
    def fail(*_): raise OSError(5, "Input/output error")
    store.layers.LayerTable.add = fail
from lamella.__main__ import main
main()
"""


@pytest.fixture
def box(lamella: Lamella, bb: str) -> str:
    """A container that has done STEPS and ended."""
    lamella("run", "--name", "box", "--network", "none", bb, "sh", "-c", STEPS)
    return "box"


def home(store_root: Path) -> Path:
    (found,) = (store_root / "snapshots").iterdir()
    return found


def changed(store_root: Path) -> Path:
    """Where the container's changes lie."""
    upper = home(store_root) / "upper"
    return upper if upper.exists() else (home(store_root) / "lent").resolve(strict=True)


def told(lamella: Lamella, box: str) -> tuple[str, str]:
    """What people see of what the container has written."""
    size = lamella("ps", "-as", "--format", "{{.Size}}").stdout
    return lamella("diff", box).stdout, size


def test_its_files_become_the_layer_and_it_still_tells_of_them(lamella: Lamella, box: str, store_root: Path) -> None:
    before, inode = told(lamella, box), (changed(store_root) / "a/b/c").stat().st_ino
    lamella("commit", box, "out:1")
    assert not (home(store_root) / "upper").exists()
    assert (changed(store_root) / "a/b/c").stat().st_ino == inode
    assert told(lamella, box) == before
    lamella("commit", box, "out:2")
    one, two = (lamella("inspect", "-f", "{{.RootFS.Layers}}", name).stdout for name in ("out:1", "out:2"))
    assert one == two
    assert lamella("run", "--rm", "--network", "none", "out:1", "cat", "/hard").stdout == "x\n"
    assert "all whole" in lamella("fsck").stdout


def test_before_it_writes_again_it_gets_a_copy(lamella: Lamella, box: str, store_root: Path) -> None:
    before = told(lamella, box)
    lamella("commit", box, "out")
    layer = changed(store_root)
    kept = (layer / "a/b/c").stat()
    assert lamella("cp", f"{box}:/a/b/c", "-").stdout  # which mounts it
    assert changed(store_root) == home(store_root) / "upper"
    assert told(lamella, box) == before
    copy = changed(store_root) / "a/b/c"
    assert (copy.stat().st_nlink, copy.stat().st_mtime_ns) == (2, kept.st_mtime_ns)
    assert copy.stat().st_ino != kept.st_ino
    (copy).write_text("changed\n")
    assert (layer / "a/b/c").read_text() == "x\n"
    assert "all whole" in lamella("fsck").stdout


def test_one_with_users_of_its_own_gets_its_copy_too(lamella: Lamella, bb: str, store_root: Path) -> None:
    script = "cat /n 2>/dev/null; echo x >> /n; stat -c %u /n"
    lamella("run", "--name", "box", "--userns", "auto", "--network", "none", bb, "sh", "-c", script)
    lamella("commit", "box", "one")
    layer = changed(store_root)
    assert lamella("start", "-a", "box").stdout == "x\n0\n"
    assert (layer / "n").read_text() == "x\n" and (changed(store_root) / "n").read_text() == "x\nx\n"


def test_the_layer_stays_while_it_is_the_containers_and_no_longer(lamella: Lamella, bb: str, store_root: Path) -> None:
    lamella("run", "--name", "box", "--network", "none", bb, "sh", "-c", "cat /new || echo x > /new")
    lamella("commit", "box", "out")
    lamella("rmi", "out")
    assert (changed(store_root) / "new").read_text() == "x\n"
    assert lamella("start", "-a", "box").stdout == "x\n"
    lamella("image", "prune", "-f")
    assert len(list((store_root / "layers").iterdir())) == 1
    lamella("commit", "box", "out")
    lamella("rm", "box")
    lamella("rmi", "out")
    assert len(list((store_root / "layers").iterdir())) == 1 and not list((store_root / "snapshots").iterdir())


def test_a_layer_before_the_last_one_is_not_kept_for_it(
    lamella: Lamella, box: str, store_root: Path, tmp_path: Path
) -> None:
    """What is copied into it makes it another layer, without a start in between."""
    lamella("commit", box, "out:1")
    (tmp_path / "more").write_text("more")
    lamella("cp", tmp_path / "more", f"{box}:/more")
    lamella("commit", box, "out:2")
    before = set(os.listdir(store_root / "layers"))
    lamella("rmi", "out:1")
    lamella("system", "prune", "-f", "--filter", "until=1h")
    assert len(before - set(os.listdir(store_root / "layers"))) == 1


@pytest.mark.parametrize("moment", ["before", "moved", "entered", "fails"])
def test_whenever_it_is_killed_the_container_has_its_files(
    lamella: Lamella, box: str, store_root: Path, moment: str
) -> None:
    before = told(lamella, box)
    died = subprocess.run(
        [sys.executable, "-c", DYING, moment, "--root", os.fspath(store_root), "commit", box, "out"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert died.returncode == (1 if moment == "fails" else 9), died.stderr
    assert told(lamella, box) == before
    assert (home(store_root) / "upper").exists() == (moment in ("before", "fails"))
    with Store.open(store_root) as store:
        collect(store, full=True)
    assert "leftover" not in lamella("fsck").stdout
    assert told(lamella, box) == before
    lamella("commit", box, "out")
    assert lamella("run", "--rm", "--network", "none", "out", "cat", "/a/b/c").stdout == "x\n"
    assert told(lamella, box) == before


def test_a_copy_that_was_cut_short_is_made_again(lamella: Lamella, box: str, store_root: Path) -> None:
    before = told(lamella, box)
    lamella("commit", box, "out")
    (home(store_root) / "copy").mkdir()
    (home(store_root) / "copy/half").write_text("x")
    lamella("export", "-o", os.devnull, box)
    assert told(lamella, box) == before and not (home(store_root) / "copy").exists()


def test_a_layer_that_is_gone_is_said(lamella: Lamella, box: str, store_root: Path) -> None:
    lamella("commit", box, "out")
    layer = changed(store_root)
    layer.rename(store_root / "away")
    done = lamella("export", "-o", os.devnull, box, check=False)
    assert done.returncode and f"layer directory {layer.name} is missing" in done.stderr


def test_a_damaged_twin_is_replaced(lamella: Lamella, box: str, store_root: Path) -> None:
    lamella("commit", box, "out")
    lamella("export", "-o", os.devnull, box)
    with Store.open(store_root) as store:
        layer = next(one for one in store.layers.all() if (store.layer_path(one.directory) / "hard").exists())
        (store.layer_path(layer.directory) / "hard").write_text("damaged")
        store.quarantine.add(layer, "test")
        lamella("commit", box, "again")
        found = store.layers.get(layer.diff_id)
        assert found and found.damaged is None
        Layers(store, Overlay(store.root)).verify(found)


def test_of_files_that_are_damaged_no_image_is_made(lamella: Lamella, box: str, store_root: Path) -> None:
    lamella("commit", box, "out")
    with Store.open(store_root) as store:
        diff_id = store.layers.by_directory(changed(store_root).name)
        layer = store.layers.get(diff_id) if diff_id else None
        assert layer
        store.quarantine.add(layer, "test")
    done = lamella("commit", box, "again", check=False)
    assert done.returncode == 1 and "is damaged and in quarantine" in done.stderr
    assert not lamella("images", "-q", "again").stdout
