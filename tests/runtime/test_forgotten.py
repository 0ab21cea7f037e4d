"""Run-time state of stores that are gone is removed; never what somebody may use."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.locks import FileLock
from network.sweeping import remove_strays
from runtime.forgotten import remove_forgotten
from runtime.state import state_directory
from tests.conftest import ROOT, Lamella, needs


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory of the store at `tmp_path/own`, in a base of its own."""
    monkeypatch.setattr("runtime.state._base", lambda _root: tmp_path / "base")
    (tmp_path / "own").mkdir()
    return state_directory(tmp_path / "own")


def neighbour(tmp_path: Path, name: str = "other", *, gone: bool = True) -> Path:
    root = tmp_path / name
    root.mkdir()
    state = state_directory(root)
    (state / "steps").mkdir()
    (state / "network.lock").touch()
    if gone:
        root.rmdir()
    age(state)
    return state


def age(state: Path) -> None:
    """Nothing is said to be gone before its store had time to be made."""
    os.utime(state / "root", (0, 0), follow_symlinks=False)


def left(own: Path) -> set[str]:
    return set(os.listdir(own.parent)) - {own.name}


def test_it_goes_with_its_store_and_only_then(tmp_path: Path, own: Path) -> None:
    stays, goes = neighbour(tmp_path, "a", gone=False), neighbour(tmp_path, "b")
    assert remove_forgotten(own, tmp_path / "own") == 1
    assert left(own) == {stays.name} and not goes.exists() and (stays / "steps").is_dir()
    shutil.rmtree(tmp_path / "own")
    assert remove_forgotten(own, tmp_path / "own") == 0 and own.is_dir()


def test_a_store_that_is_not_made_yet_is_not_gone(tmp_path: Path, own: Path) -> None:
    state = state_directory(tmp_path / "soon")
    assert remove_forgotten(own, tmp_path / "own") == 0 and state.is_dir()


def test_a_held_lock_keeps_it(tmp_path: Path, own: Path) -> None:
    state = neighbour(tmp_path)
    with FileLock(state / "network.lock").held(shared=True):
        assert remove_forgotten(own, tmp_path / "own") == 0 and state.is_dir()
    assert remove_forgotten(own, tmp_path / "own") == 1


def test_what_is_mounted_in_any_namespace_keeps_it(tmp_path: Path, own: Path) -> None:
    state = neighbour(tmp_path)
    script = 'mount -t tmpfs t "$0"; echo ready; read end'
    command = ["unshare", "--mount", "sh", "-c", script, state / "steps"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        assert remove_forgotten(own, tmp_path / "own") == 0 and (state / "steps").is_dir()
        process.communicate(b"\n")
    assert remove_forgotten(own, tmp_path / "own") == 1


def test_what_does_not_say_whose_it_is_stays_but_for_old_empty_ones(tmp_path: Path, own: Path) -> None:
    for name in ("fresh", "old", "full"):
        (own.parent / name).mkdir()
    (own.parent / "full/file").touch()
    for name in ("old", "full"):
        os.utime(own.parent / name, (0, 0))
    assert remove_forgotten(own, tmp_path / "own") == 1 and left(own) == {"fresh", "full"}
    os.unlink(own / "root")
    remove_forgotten(own, tmp_path / "own")
    assert os.readlink(own / "root") == str(tmp_path / "own")


def test_what_a_killed_one_left_is_taken_up_and_no_call_takes_long(tmp_path: Path, own: Path) -> None:
    states = [neighbour(tmp_path, str(number)) for number in range(5)]
    states[0].rename(own.parent / f".gone-{states[0].name}")
    assert [remove_forgotten(own, tmp_path / "own", limit=3) for _ in range(3)] == [3, 2, 0]
    assert left(own) == set()


def test_a_store_that_comes_back_at_that_instant_keeps_it(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = neighbour(tmp_path)
    rename = os.rename

    def renamed(source: Path, target: Path) -> None:
        (tmp_path / "other").mkdir(exist_ok=True)
        rename(source, target)

    monkeypatch.setattr("os.rename", renamed)
    assert remove_forgotten(own, tmp_path / "own") == 0 and (state / "steps").is_dir() and left(own) == {state.name}


def test_several_at_once(tmp_path: Path, own: Path) -> None:
    stays = neighbour(tmp_path, "a", gone=False)
    for number in range(60):
        neighbour(tmp_path, str(number))
    script = f"from pathlib import Path; from runtime.forgotten import remove_forgotten as r; print(r(Path({str(own)!r}), Path({str(tmp_path / 'own')!r})))"
    with ThreadPoolExecutor(3) as pool:
        run = lambda _: subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)  # noqa: E731
        done = list(pool.map(run, range(3)))
    assert [one.stderr for one in done] == [""] * 3 and sum(int(one.stdout) for one in done) <= 60
    assert left(own) == {stays.name}


@needs("nft", "ip")
def test_what_its_networks_have_on_the_machine_goes_with_it(tmp_path: Path, own: Path) -> None:
    stays, goes, half = neighbour(tmp_path, "a", gone=False), neighbour(tmp_path, "b"), neighbour(tmp_path, "c")
    names = [f"lt{number}-{os.getpid() % 10**6}" for number in range(3)]
    for name, state in zip(names, (stays, goes, half), strict=True):
        subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
        subprocess.run(["ip", "link", "set", name, "alias", f"lamella_{state.name} net"], check=True)
        subprocess.run(["nft", "add", "table", "inet", f"lamella_{state.name}"], check=True)
    half.rename(own.parent / f".gone-{half.name}")  # by one that was killed then
    try:
        assert remove_forgotten(own, tmp_path / "own") == 2
        links = {line.split()[0].partition("@")[0] for line in _output("ip", "-br", "link").splitlines()}
        tables = _output("nft", "list", "tables").split()
        assert links & set(names) == {names[0]}
        assert [f"lamella_{state.name}" in tables for state in (stays, goes, half)] == [True, False, False]
    finally:
        for state in (stays, goes, half):
            remove_strays(state)


def _output(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@needs("busybox", "crun", "conmon")
def test_system_prune_does_it_but_not_to_a_container_that_runs(lamella: Lamella, bb: str, tmp_path: Path) -> None:
    other = {"LAMELLA_ROOT": str(tmp_path / "other")}
    shutil.copytree(tmp_path / "store", tmp_path / "other", symlinks=True)
    state = state_directory(tmp_path / "other")
    age(state)
    lamella("run", "-d", "--name", "aa", "--network", "none", bb, "sleep", "300", env=other)
    (tmp_path / "other").rename(tmp_path / "elsewhere")
    lamella("system", "prune", "-f")
    assert (state / "box").is_dir()
    (tmp_path / "elsewhere").rename(tmp_path / "other")
    lamella("rm", "-f", "aa", env=other)
    for _ in range(100):  # what ends late may still look for its store, and make it anew
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            age(state)
        lamella("system", "prune", "-f")
        if not state.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{state} stays")
