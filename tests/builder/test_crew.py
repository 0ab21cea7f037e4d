"""Several processes copying one directory: as right as one, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from builder.ops import crew
from builder.ops.survey import open_below
from builder.ops.transfer import Copier
from core.errors import InvalidInput

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


@pytest.fixture(autouse=True)
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes, however many processors there are."""
    monkeypatch.setattr(crew, "FEW", 1)
    monkeypatch.setattr(crew, "_PART", 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    for number in range(300):
        path = source / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    (tmp_path / "target").mkdir()
    return source


def copy(source: Path, copier: Copier | None = None) -> dict[str, str]:
    target = source.parent / "target"
    (copier or Copier()).contents(os.open(source, DIRECTORY), os.open(target, DIRECTORY))
    return read(target)


def read(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()}


class Noting(Copier):
    """Notes the process that copied each file in `notes`. With `deadly`, a helper is killed at its fifth; with `patient`, the
    process that began and a helper wait for each other's first note, for a minute at most."""

    def __init__(self, notes: Path, *, deadly: bool = False, patient: bool = False) -> None:
        super().__init__()
        self.patience = 6000 if patient else 0
        self.notes = notes
        self.deadly = deadly
        self.count = 0

    def entry(self, entry: os.DirEntry[str], source: int, target: int) -> None:
        self.count += 1
        if self.shared and self.deadly and self.count == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.shared:
            self.wait_for(1)
        super().entry(entry, source, target)
        with self.notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if self.shared:
            self.wait_for(2)

    def wait_for(self, processes: int) -> None:
        while self.patience and not (self.notes.exists() and len(self.processes()) >= processes):
            self.patience -= 1
            time.sleep(0.01)

    def processes(self) -> set[int]:
        return {int(line) for line in self.notes.read_text().split()}


def test_the_work_is_shared(source: Path, tmp_path: Path) -> None:
    copier = Noting(tmp_path / "notes", patient=True)
    assert copy(source, copier) == read(source)
    assert len((tmp_path / "notes").read_text().split()) == 300 and len(copier.processes()) > 1


def test_what_a_killed_helper_has_not_done_is_done_all_the_same(source: Path, tmp_path: Path) -> None:
    assert copy(source, Noting(tmp_path / "notes", deadly=True)) == read(source)


def test_names_of_one_file_stay_names_of_one_file(source: Path) -> None:
    """More of them than a process may have open, in several directories."""
    for number in range(1100):
        os.link(source / "d0" / f"f{7 * (number % 40)}", source / f"d{number % 7}" / f"link{number}")
    found = copy(source)
    assert found == read(source) and len(found) == 1400
    target = source.parent / "target"
    inodes = {(source / name).stat().st_ino: (target / name).stat().st_ino for name in found}
    assert len(inodes) == len(set(inodes.values())) == 300
    assert all(inodes[(source / name).stat().st_ino] == (target / name).stat().st_ino for name in found)


def test_an_error_is_that_of_the_call_that_failed(source: Path) -> None:
    (source.parent / "target/d3/f3").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="cannot copy the file f3 over a directory"):
        copy(source)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_directories_get_their_looks_when_all_is_in_them(source: Path) -> None:
    for number in range(7):
        (source / f"d{number}").chmod(0o500 + number)
        os.utime(source / f"d{number}", (number, number))
    os.link(source / "d1/f1", source / "d2/linked")
    os.utime(source / "d2", (2, 2))
    copy(source)
    looks = [(source.parent / f"target/d{number}").stat() for number in range(7)]
    assert [(status.st_mode & 0o777, status.st_mtime) for status in looks] == [(0o500 + n, n) for n in range(7)]


def test_modes_do_not_depend_on_the_umask(source: Path) -> None:
    (source / "d0/f0").chmod(0o666)
    (source / "d1").chmod(0o777)
    old = os.umask(0o077)
    try:
        copy(source)
    finally:
        os.umask(old)
    target = source.parent / "target"
    assert [oct(path.stat().st_mode & 0o777) for path in (target / "d0/f0", target / "d1")] == ["0o666", "0o777"]


def test_a_directory_of_the_context_that_becomes_a_link_is_not_followed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/f").write_text("secret")
    (source / "link").symlink_to(tmp_path / "secret")
    top = os.open(source, DIRECTORY)
    for path in ("link/", "link/../d0/", "../secret/", "d0/" * 300 + "../" * 299 + "link/"):
        with pytest.raises(OSError):
            open_below(top, path)
    os.close(top)


def test_paths_longer_than_the_kernel_takes_are_copied(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    name = "n" * 250
    tops = [os.open(tmp_path / which, DIRECTORY) for which in ("source", "target")]
    below = os.dup(tops[0])
    for _ in range(20):
        os.mkdir(name, dir_fd=below)
        below, above = os.open(name, DIRECTORY, dir_fd=below), below
        os.close(above)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
    os.close(below)
    Copier().contents(os.dup(tops[0]), os.dup(tops[1]))
    there = open_below(tops[1], f"{name}/" * 20)
    assert os.listdir(there) == ["file"]
    for fd in (there, *tops):
        os.close(fd)
