"""Files are there whole or not at all; paths cannot leave a root; locks end with their holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import InvalidInput
from core.files import atomic_file, make_directories, write_file
from core.locks import FileLock, is_locked
from core.paths import clean, resolve_in
from core.removal import remove

ROOT = Path(__file__).parents[2]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_file(path, b"one")
    write_file(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_file(path, b"old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["f"]


def test_a_write_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with atomic_file(tmp_path / "big") as file:
            file.write(b"x" * 1_000_000)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert os.listdir(tmp_path) == []


def test_removing_a_tree_follows_no_link(tmp_path: Path) -> None:
    make_directories(tmp_path / "outside/kept")
    tree = make_directories(tmp_path / "tree/a/b")
    (tree / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/file").write_text("x")
    remove(tmp_path / "tree")
    remove(tmp_path / "tree")
    assert sorted(os.listdir(tmp_path)) == ["outside"] and (tmp_path / "outside/kept").is_dir()


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/a/b", "a/b"),
        ("../../x", "x"),
        ("abs/f", "f"),
        ("up/f", "f"),
        ("deep/link/f", "deep/there/f"),
        ("dangling", "none/such"),
        ("a/../b", "b"),
        ("/", ""),
    ],
)
def test_links_are_followed_inside_the_root_only(tmp_path: Path, path: str, inside: str) -> None:
    make_directories(tmp_path / "deep")
    (tmp_path / "abs").symlink_to("/")
    (tmp_path / "up").symlink_to("../../../..")
    (tmp_path / "deep/link").symlink_to("/deep/there")
    (tmp_path / "dangling").symlink_to("none/such")
    assert resolve_in(tmp_path, path) == os.path.join(tmp_path, inside).rstrip("/")


def test_a_loop_of_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InvalidInput, match="symbolic links"):
        resolve_in(tmp_path, "a/x")
    assert resolve_in(tmp_path, "a", follow_last=False) == str(tmp_path / "a")


def test_paths_are_cleaned_as_inside_a_root() -> None:
    assert [clean(p) for p in ("a//b/./c", "../../x", "", "/a/../..")] == ["/a/b/c", "/x", "/", "/"]


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys,time; from pathlib import Path; from core.locks import FileLock; FileLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        assert is_locked(path) and not FileLock(path).acquire(wait=False)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not is_locked(path)
    mine = FileLock(path)
    assert mine.acquire(wait=False)
    mine.release(remove=True)
    assert not path.exists()


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_taken_anew(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "l"), FileLock(tmp_path / "l")
    first.acquire()
    first.release(remove=True)
    assert second.acquire(wait=False) and is_locked(tmp_path / "l")
    second.release()
