"""Overlays and copies: one contract, and what only a mount can do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from core.errors import Conflict, Unsupported
from core.removal import remove as really_remove
from snapshot.choose import choose
from snapshot.copying import Copying
from snapshot.overlay import Overlay
from store.temporary import Temporaries
from tests.conftest import needs
from tests.suites.contained import inside, inside_user_namespace
from tests.suites.snapshots import CHANGES, Open, SnapshotterSuite, base, build, write


def mounts_below(path: Path) -> int:
    return (
        Path("/proc/self/mountinfo").read_text().count(str(path).replace(" ", "\\040").replace("\\name", "\\134name"))
    )


@needs("mount")
class TestOverlay(SnapshotterSuite):
    @pytest.fixture
    def open_(self, root: Path) -> Open:
        return lambda: Overlay(root)

    @pytest.mark.parametrize("count", [128, 250, 500])
    def test_as_many_layers_as_the_kernel_takes_are_stacked(self, root: Path, count: int) -> None:
        def work() -> None:
            names = [f"layer{number:03}" for number in range(count)]
            for number, name in enumerate(names):
                write(root / "layers" / name / f"file{number}", "x")
                write(root / "layers" / name / "last", str(number))
            snapshots = Overlay(root)
            key = "k" * 128
            snapshots.prepare(key, names)
            with snapshots.mounted(key) as tree:
                assert len(os.listdir(tree)) == count + 1 and (tree / "last").read_text() == str(count - 1)
                write(tree / "own", "x")
            top = snapshots.seal(key)
            assert os.listdir(root / "layers" / top) == ["own"]

        inside(work)

    def test_more_layers_than_the_kernel_takes_are_refused(self, root: Path) -> None:
        names = [f"layer{number:03}" for number in range(501)]
        with pytest.raises(Unsupported, match=r"501 layers are more than overlayfs can stack \(500\)"):
            Overlay(root).prepare("top", names)
        assert os.listdir(root / "snapshots") == []

    def test_nothing_refers_to_other_layers(self, root: Path) -> None:
        """Neither a renamed directory nor a changed mode may leave a mark that only this very stack can read."""

        def work() -> None:
            snapshots = Overlay(root)
            bottom = build(snapshots, "base", [], base)
            snapshots.prepare("step", [bottom])
            with snapshots.mounted("step") as tree:
                with pytest.raises(OSError, match="cross-device"):
                    (tree / "usr").rename(tree / "moved")
                (tree / "var/log").chmod(0o600)
            upper = root / "layers" / snapshots.seal("step")
            assert (upper / "var/log").read_text() == "base var/log"
            for path in upper.rglob("*"):
                assert not {"trusted.overlay.redirect", "trusted.overlay.metacopy"} & set(os.listxattr(path))

        inside(work)

    def test_a_layer_that_refers_to_others_is_not_believed(self, root: Path) -> None:
        def work() -> None:
            snapshots = Overlay(root)
            bottom = build(snapshots, "base", [], base)
            (root / "layers/forged/shown").mkdir(parents=True)
            os.setxattr(root / "layers/forged/shown", "trusted.overlay.redirect", b"/etc")
            snapshots.prepare("look", [bottom, "forged"])
            with snapshots.mounted("look") as tree, pytest.raises(PermissionError):
                os.listdir(tree / "shown")

        inside(work)

    def test_layers_on_layers_are_built_as_images_are(self, root: Path) -> None:
        def work() -> None:
            snapshots = Overlay(root)
            layers: list[str] = []
            for n in range(20):
                layers.append(build(snapshots, f"k{n}", layers, lambda tree, n=n: write(tree / f"f{n}", str(n))))  # type: ignore[misc]
            snapshots.prepare("top", layers)
            with snapshots.mounted("top") as tree:
                assert len(os.listdir(tree)) == 20

        inside(work)

    def test_nothing_is_left_mounted(self, root: Path) -> None:
        def work() -> None:
            snapshots = Overlay(root)
            build(snapshots, "one", [], base)
            snapshots.prepare("two", [])
            with pytest.raises(RuntimeError), snapshots.mounted("two"):
                raise RuntimeError
            assert not mounts_below(root)

        inside(work)

    def test_a_busy_mount_is_let_go_all_the_same(self, root: Path) -> None:
        def work() -> None:
            snapshots = Overlay(root)
            snapshots.prepare("one", [])
            with snapshots.mounted("one") as tree:
                fd = os.open(tree, os.O_RDONLY)
                (tree / "proc").mkdir()
                subprocess.run(["mount", "-t", "tmpfs", "none", tree / "proc"], check=True)
            os.close(fd)
            assert not mounts_below(root)

        inside(work)

    def test_a_mounted_snapshot_is_neither_sealed_nor_removed(self, root: Path) -> None:
        def work() -> None:
            snapshots = Overlay(root)
            snapshots.prepare("one", [])
            with snapshots.mounted("one"):
                with pytest.raises(Conflict, match="still mounted"):
                    snapshots.seal("one")
                with pytest.raises(Conflict, match="still mounted"):
                    snapshots.remove("one")
            snapshots.remove("one")

        inside(work)

    def test_sealing_copies_nothing(self, root: Path) -> None:
        def work() -> None:
            snapshots = Overlay(root)
            snapshots.prepare("one", [])
            with snapshots.mounted("one") as tree:
                write(tree / "file", "x")
            inode = (root / "snapshots/one/upper/file").stat().st_ino
            assert (root / "layers" / snapshots.seal("one") / "file").stat().st_ino == inode

        inside(work)

    def test_no_directory_of_another_place_is_changed(self, root: Path) -> None:
        def work() -> None:
            here = os.getcwd()
            snapshots = Overlay(root)
            build(snapshots, "one", [], base)
            assert os.getcwd() == here

        inside(work)


@needs("mount")
class TestOverlayInUserNamespace(SnapshotterSuite):
    """Rootless: what overlayfs notes are a user's own attributes there."""

    inside = staticmethod(inside_user_namespace)

    @pytest.fixture
    def open_(self, root: Path) -> Open:
        return lambda: Overlay(root, userxattr=True)

    def test_it_is_chosen(self, root: Path) -> None:
        def work() -> None:
            chosen = choose(root)
            assert isinstance(chosen, Overlay) and "overlay-userxattr" in (root / "snapshotter").read_text()
            bottom = build(chosen, "base", [], base)
            top = build(chosen, "step", [bottom], CHANGES["directory recreated"])
            assert os.getxattr(root / "layers" / top / "etc", "user.overlay.opaque") == b"y"

        self.inside(work)


@needs("cp")
class TestCopying(SnapshotterSuite):
    @pytest.fixture
    def open_(self, root: Path) -> Open:
        return lambda: Copying(root)

    def test_nothing_is_linked_into_a_layer(self, root: Path) -> None:
        snapshots = Copying(root)
        name = build(snapshots, "one", [], base)
        inodes = {path.stat().st_ino for path in (root / "layers" / name).rglob("*") if path.is_file()}
        snapshots.prepare("two", [name])
        copies = {path.stat().st_ino for path in (root / "snapshots/two/rootfs").rglob("*") if path.is_file()}
        assert copies and not inodes & copies

    def test_holes_stay_holes(self, root: Path) -> None:
        def sparse(tree: Path) -> None:
            with (tree / "sparse").open("wb") as file:
                file.seek(1 << 30)
                file.write(b"end")

        snapshots = Copying(root)
        snapshots.prepare("two", [build(snapshots, "one", [], sparse)])
        copy = root / "snapshots/two/rootfs/sparse"
        assert copy.stat().st_size == (1 << 30) + 3 and copy.stat().st_blocks * 512 < 1 << 20

    def test_a_link_in_a_layer_below_is_replaced_and_not_followed(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        snapshots = Copying(root)
        link = build(snapshots, "one", [], lambda tree: (tree / "dir").symlink_to(tmp_path / "outside"))
        (root / "layers/byhand").mkdir()
        write(root / "layers/byhand/dir/file", "x")
        snapshots.prepare("two", [link, "byhand"])
        assert os.listdir(tmp_path / "outside") == []
        assert (root / "snapshots/two/rootfs/dir/file").read_text() == "x"


def test_what_a_dead_process_prepared_is_not_anybodys_while_it_is_removed(
    store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if child == 0:
        Copying(store_root).prepare("dead", [])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    seen: list[tuple[int, Path]] = []

    def sweeping(path: Path) -> int:
        seen.extend(Temporaries(store_root).dead())
        return really_remove(path)

    monkeypatch.setattr("snapshot.places.remove", sweeping)
    Copying(store_root).remove("dead")
    assert not seen and not Copying(store_root).keys() and not os.listdir(store_root / "tmp")


@needs("mount")
@pytest.mark.parametrize("change", CHANGES)
def test_both_ways_read_each_others_layers(tmp_path: Path, change: str) -> None:
    """A stack whose layers were made by turns shows the same tree either way."""

    def work() -> None:
        from tests.suites.snapshots import shown

        for name in ("layers", "snapshots", "tmp"):
            (tmp_path / name).mkdir(exist_ok=True)
        ways = (Overlay(tmp_path), Copying(tmp_path))
        for number, (first, second) in enumerate((ways, ways[::-1])):
            bottom = build(first, f"base{number}", [], base)
            top = build(second, f"step{number}", [bottom], CHANGES[change])
            seen = []
            for way in ways:
                way.prepare(f"look{number}{way.__class__.__name__}", [bottom, top])
                with way.mounted(f"look{number}{way.__class__.__name__}") as tree:
                    seen.append(shown(tree))
            assert seen[0] == seen[1]

    inside(work)


@needs("mount")
class TestChoose:
    def test_what_works_is_chosen_and_remembered(self, store_root: Path) -> None:
        (store_root / "tmp").mkdir(parents=True)
        assert isinstance(choose(store_root), Overlay)
        (store_root / "snapshotter").write_text((store_root / "snapshotter").read_text().replace("overlay", "copying"))
        assert isinstance(choose(store_root), Copying)
        assert os.listdir(store_root / "tmp") == []

    def test_another_kernel_is_asked_again(self, store_root: Path) -> None:
        (store_root / "tmp").mkdir(parents=True)
        (store_root / "snapshotter").write_text("5.0.0-other\ncopying\n")
        assert isinstance(choose(store_root), Overlay)

    def test_copies_are_made_where_overlays_do_not_stack(self, store_root: Path) -> None:
        def work() -> None:  # an overlay cannot be the upper directory of another
            for name in ("lower", "upper", "work", "merged"):
                (store_root / name).mkdir(parents=True)
            data = f"lowerdir={store_root}/lower,upperdir={store_root}/upper,workdir={store_root}/work"
            subprocess.run(["mount", "-t", "overlay", "-o", data, "none", store_root / "merged"], check=True)
            (store_root / "merged/tmp").mkdir()
            assert isinstance(choose(store_root / "merged"), Copying)

        inside(work)
