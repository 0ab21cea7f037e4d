"""What every Snapshotter must do. A test class inherits this and gives fixtures `root` and `open_` (which makes one)."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import Conflict, InvalidInput, NotFound
from layer.pack import pack
from snapshot.protocol import Snapshotter
from tests.suites.contained import inside

Open = Callable[[], Snapshotter]
Change = Callable[[Path], object]
MIB = 1 << 20


def write(path: Path, text: str, mtime: int = 1_000_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (mtime, mtime))


def shell(tree: Path, command: str) -> None:
    subprocess.run(command, shell=True, cwd=tree, check=True)


def shown(tree: Path) -> dict[str, str]:
    """The tree as path → what is there."""
    found = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        kind = stat.filemode(status.st_mode)[0]
        what = path.read_text() if kind == "-" else os.readlink(path) if kind == "l" else ""
        found[str(path.relative_to(tree))] = f"{kind}{what}"
    return found


def base(tree: Path) -> None:
    for name in ("etc/one", "etc/two", "usr/lib/deep/file", "usr/share/doc", "var/log"):
        write(tree / name, f"base {name}")
    (tree / "bin").symlink_to("usr/bin")
    os.link(tree / "etc/one", tree / "etc/linked")
    (tree / "fifo").parent.mkdir(exist_ok=True)
    os.mkfifo(tree / "fifo")
    (tree / "tmp").mkdir()
    (tree / "tmp").chmod(0o1777)
    os.chown(tree / "etc/two", 1000, 1001)
    (tree / "etc/two").chmod(0o4751)
    os.setxattr(tree / "etc/two", "user.note", b"kept")


def replace_directory_by_file(tree: Path) -> None:
    shell(tree, "rm -r usr/lib")
    write(tree / "usr/lib", "a file now")


def replace_file_by_directory(tree: Path) -> None:
    (tree / "var/log").unlink()
    write(tree / "var/log/new", "in a directory now")


def recreate_directory(tree: Path) -> None:
    shell(tree, "rm -r etc")
    write(tree / "etc/three", "the only one")


def rename_directory(tree: Path) -> None:
    shell(tree, "mv usr/lib usr/lib64")  # the kernel says EXDEV where it will not redirect


def swap_directories(tree: Path) -> None:
    shell(tree, "mv etc x && mv usr etc && mv x usr")


def rewrite_in_place_with_old_times(tree: Path) -> None:
    status = (tree / "etc/one").stat()
    with (tree / "etc/one").open("r+") as file:
        file.write("BASE")
    os.utime(tree / "etc/one", ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Change] = {
    "nothing": lambda tree: None,
    "read only": lambda tree: shown(tree),
    "a new file": lambda tree: write(tree / "etc/new", "new"),
    "a new tree": lambda tree: write(tree / "a/b/c/d", "new"),
    "append": lambda tree: (tree / "etc/two").open("a").write("more"),
    "rewritten in place, times set back": rewrite_in_place_with_old_times,
    "through a hard link": lambda tree: write(tree / "etc/linked", "both names"),
    "mode alone": lambda tree: (tree / "var/log").chmod(0o600),
    "owner of a directory": lambda tree: os.chown(tree / "usr/share", 5, 5),
    "attribute": lambda tree: os.setxattr(tree / "var/log", "user.x", b"y"),
    "file removed": lambda tree: (tree / "etc/one").unlink(),
    "tree removed": lambda tree: shell(tree, "rm -r usr"),
    "everything removed": lambda tree: shell(tree, "rm -r *"),
    "link replaced": lambda tree: ((tree / "bin").unlink(), (tree / "bin").mkdir()),
    "directory replaced by a file": replace_directory_by_file,
    "file replaced by a directory": replace_file_by_directory,
    "directory recreated": recreate_directory,
    "directory renamed": rename_directory,
    "directories swapped": swap_directories,
    "new file and gone again": lambda tree: (write(tree / "etc/x", "x"), (tree / "etc/x").unlink()),
    "fifo removed": lambda tree: (tree / "fifo").unlink(),
    "hard links made": lambda tree: (write(tree / "h1", "h"), os.link(tree / "h1", tree / "h2")),
    "odd names": lambda tree: (write(tree / "a\nb/c\td", "x"), (tree / "etc/\udcff").write_text("y")),
    "sorts between": lambda tree: (write(tree / "etc-x", "x"), write(tree / "etc.d/x", "x"), (tree / "etc/one").unlink()),
}  # fmt: skip


def build(snapshots: Snapshotter, key: str, parents: list[str], change: Change) -> str:
    """A step: returns the layer's directory, settled."""
    snapshots.prepare(key, parents)
    with snapshots.mounted(key) as tree:
        change(tree)
    name = snapshots.seal(key)
    snapshots.settle(name)
    return name


class SnapshotterSuite:
    inside = staticmethod(inside)

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Path]:
        root = tmp_path / "a store, with: odd\\name"
        for name in ("layers", "snapshots", "tmp"):
            (root / name).mkdir(parents=True)
        yield root

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_sealed_layer_shows_what_was_seen(self, root: Path, open_: Open, change: str) -> None:
        def work() -> None:
            snapshots = open_()
            bottom = build(snapshots, "base", [], base)
            before = pack(root / "layers" / bottom)
            seen: dict[str, str] = {}
            top = build(snapshots, "step", [bottom], lambda tree: (CHANGES[change](tree), seen.update(shown(tree))))
            snapshots.prepare("look", [bottom, top])
            with snapshots.mounted("look") as tree:
                assert shown(tree) == seen
                if "etc/two" in seen and change not in ("append", "directories swapped"):
                    status = (tree / "etc/two").stat()
                    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1001, 0o4751)
                    assert os.getxattr(tree / "etc/two", "user.note") == b"kept"
            assert pack(root / "layers" / bottom) == before, "a layer was written to"
            if change in ("nothing", "read only"):
                assert os.listdir(root / "layers" / top) == []

        self.inside(work)

    def test_scratch_is_empty(self, root: Path, open_: Open) -> None:
        def work() -> None:
            snapshots = open_()
            snapshots.prepare("k", [])
            with snapshots.mounted("k") as tree:
                assert os.listdir(tree) == []

        self.inside(work)

    def test_a_layer_that_comes_twice_counts_at_the_top(self, root: Path, open_: Open) -> None:
        def work() -> None:
            snapshots = open_()
            first = build(snapshots, "first", [], lambda tree: (write(tree / "x", "1"), write(tree / "y", "1")))
            second = build(
                snapshots, "second", [first], lambda tree: (write(tree / "x", "2"), write(tree / "z", "2"), (tree / "y").unlink())
            )  # fmt: skip
            snapshots.prepare("both", [first, second, first])
            with snapshots.mounted("both") as tree:
                assert shown(tree) == {"x": "-1", "y": "-1", "z": "-2"}

        self.inside(work)

    def test_the_same_steps_give_the_same_layers(self, root: Path, open_: Open) -> None:
        def fixed(tree: Path) -> None:
            base(tree)
            for path in sorted(tree.rglob("*"), reverse=True):
                os.utime(path, (5, 5), follow_symlinks=False)

        def work() -> None:
            snapshots = open_()
            layers = [root / "layers" / build(snapshots, key, [], fixed) for key in ("one", "two")]
            assert pack(layers[0]).diff_id == pack(layers[1]).diff_id

        self.inside(work)

    def test_the_roots_own_mode_comes_from_below(self, root: Path, open_: Open) -> None:
        def work() -> None:
            snapshots = open_()
            bottom = build(snapshots, "one", [], lambda tree: (tree.chmod(0o750), os.chown(tree, 7, 8)))
            snapshots.prepare("two", [bottom])
            with snapshots.mounted("two") as tree:
                status = tree.stat()
                assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o750, 7, 8)

        self.inside(work)

    def test_sealing_leaves_only_the_layer(self, root: Path, open_: Open) -> None:
        def work() -> None:
            snapshots = open_()
            name = build(snapshots, "one", [], base)
            assert os.listdir(root / "layers") == [name] and os.listdir(root / "tmp") == []
            assert snapshots.keys() == []
            assert not [x for x in os.listxattr(root / "layers" / name) if "overlay" in x]

        self.inside(work)

    def test_a_sealed_directory_that_is_not_wanted_goes(self, root: Path, open_: Open) -> None:
        def work() -> None:
            snapshots = open_()
            snapshots.prepare("one", [])
            name = snapshots.seal("one")
            snapshots.settle(name, keep=False)
            snapshots.settle(name, keep=False)
            assert os.listdir(root / "layers") == os.listdir(root / "tmp") == []

        self.inside(work)

    def test_a_snapshot_may_be_mounted_again_by_another_process(self, root: Path, open_: Open) -> None:
        def work() -> None:
            snapshots = open_()
            snapshots.prepare("c1", [build(snapshots, "base", [], base)])
            for durable in (False, True, False):
                with open_().mounted("c1", durable=durable) as tree:
                    write(tree / "count", (tree / "count").read_text() + "x" if (tree / "count").exists() else "x")
                    assert (tree / "etc/one").exists()
            with snapshots.mounted("c1") as tree:
                assert (tree / "count").read_text() == "xxx"

        self.inside(work)

    @pytest.mark.parametrize("change", CHANGES)
    def test_what_was_written_can_be_read_while_it_goes_on(self, root: Path, open_: Open, change: str) -> None:
        def work() -> None:
            snapshots = open_()
            bottom = build(snapshots, "base", [], base)
            snapshots.prepare("on", [bottom])
            with snapshots.mounted("on") as tree:
                CHANGES[change](tree)
                with snapshots.written("on") as directory:
                    before = pack(directory).diff_id
                seen = shown(tree)
            with snapshots.mounted("on") as tree:
                assert shown(tree) == seen, "reading changed it"
            top = snapshots.seal("on")
            snapshots.settle(top)
            assert os.listdir(root / "tmp") == []
            if change not in ("nothing", "read only", "new file and gone again"):
                assert pack(root / "layers" / top).diff_id == before

        self.inside(work)

    def test_a_directory_that_says_nothing_new_is_left_out(self, root: Path, open_: Open) -> None:
        """Such as that of a mount point, which was made and has gone again."""

        def touched(tree: Path, name: str) -> None:
            before = (tree / name).parent.stat()
            (tree / name).touch()
            (tree / name).unlink()
            os.utime((tree / name).parent, ns=(before.st_atime_ns, before.st_mtime_ns))

        def work() -> None:
            snapshots = open_()
            bottom = build(snapshots, "base", [], base)
            for number, name in enumerate(("etc/hosts", "usr/lib/deep/x", "tmp/x")):
                top = build(snapshots, f"step{number}", [bottom], lambda tree, name=name: touched(tree, name))  # type: ignore[misc]
                assert os.listdir(root / "layers" / top) == []

            def otherwise(tree: Path) -> None:
                for name in ("etc", "var", "usr/lib/deep"):
                    touched(tree, f"{name}/x")
                (tree / "etc").chmod(0o700)
                (tree / "var/new").mkdir()
                (tree / "usr/lib/deep").touch()

            top = build(snapshots, "other", [bottom], otherwise)
            assert sorted(shown(root / "layers" / top)) == ["etc", "usr", "usr/lib", "usr/lib/deep", "var", "var/new"]

        self.inside(work)

    def test_a_key_is_given_once(self, root: Path, open_: Open) -> None:
        snapshots = open_()
        snapshots.prepare("one", [])
        with pytest.raises(Conflict, match="exists already"):
            open_().prepare("one", [])
        assert os.listdir(root / "tmp") == [] and snapshots.keys() == ["one"]
        snapshots.remove("one")
        snapshots.remove("one")
        assert snapshots.keys() == [] and os.listdir(root / "tmp") == []
        snapshots.prepare("one", [])

    def test_a_missing_parent_is_told(self, root: Path, open_: Open) -> None:
        with pytest.raises(NotFound, match="layer directory gone is missing"):
            open_().prepare("one", ["gone"])
        assert os.listdir(root / "snapshots") == os.listdir(root / "tmp") == []

    @pytest.mark.parametrize("key", ["", "..", "../x", "a/b", ".hidden", "x" * 200])
    def test_a_key_is_no_path(self, open_: Open, key: str) -> None:
        with pytest.raises(InvalidInput, match="invalid snapshot key"):
            open_().prepare(key, [])
