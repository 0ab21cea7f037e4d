"""What a plain start costs, counted instead of timed: modules, processes, waits for the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from runtime.engine import Engine
from runtime.probe import CANDIDATES, _remember, installed
from runtime.state import state_directory
from tests.conftest import ROOT, Lamella, needs

pytestmark = needs("busybox", "crun")

# What of the standard library may be loaded: `typing`, `re`, `enum`, `json`, `signal`, `threading`, `ctypes` and the like are
# missing, each takes as long as twenty modules of our own. What stands in for them: `core.signals`, `core.words`,
# `core.plain_json`, `core.libc`, `core.lightly`.
LIGHT = {
    "__future__", "_blake2", "_collections", "_ctypes", "_functools", "_json", "_operator", "_sha256", "_sqlite3", "_struct",
    "binascii", "collections", "collections.abc", "contextlib", "errno", "fcntl", "functools", "gc", "itertools", "keyword",
    "operator", "pathlib", "reprlib", "resource", "select", "struct", "types",
}  # fmt: skip
OURS = ("cli", "core", "image", "images", "lamella", "runtime", "snapshot", "store")
OURS_AT_MOST = 95
# Each process tells when it calls what takes long, and at its end what it has loaded.
WATCH = """
import os, sys
before = set(sys.modules)
def watched(name):
    real = getattr(os, name)
    def call(*words, **more):
        copy = " of the copy" if str(words[:1]).startswith("('/proc/self/fd/") else ""
        os.write(2, f"call {name}{copy}\\n".encode())
        return real(*words, **more)
    setattr(os, name, call)
for name in ("fork", "posix_spawn", "fsync", "fdatasync"):
    watched(name)
end = os._exit
def leave(code):
    for name in set(sys.modules) - before:  # line by line: longer writes of several processes mix
        os.write(2, f"module {name}\\n".encode())
    end(code)
os._exit = leave
sys.argv[0] = "lamella"
from lamella.__main__ import main
main()
"""


def watch(store_root: Path, *words: str) -> Counter[str]:
    """What the processes of `lamella WORDS` tell."""
    environ = {"PATH": os.environ["PATH"], "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", WATCH, *words],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return Counter(done.stderr.splitlines())


def modules(told: Counter[str]) -> set[str]:
    return {line.removeprefix("module ") for line in told if line.startswith("module ")}


@pytest.fixture
def ready(lamella: Lamella, store_root: Path, bb: str) -> str:
    """The image, in a store that knows what works here, and starts it with crun, whatever was faster on a busy machine."""
    lamella("run", "--rm", "--network", "none", bb, "true")
    present = installed()
    path = next(path for name, path, _ in present if name == "crun")
    _remember(state_directory(store_root) / "runtime.json", present, Engine("crun", path, CANDIDATES[0][1]))
    return bb


def test_a_container_in_the_foreground_loads_little_and_nothing_that_loads_slowly(store_root: Path, ready: str) -> None:
    found = modules(watch(store_root, "run", "--rm", "--network", "none", ready, "true"))
    ours = {name for name in found if name.partition(".")[0] in OURS}
    assert {"runtime.box", "store.store"} <= ours, "both processes have been heard"
    assert found - ours <= LIGHT
    assert len(ours) <= OURS_AT_MOST, "each is 0.1 ms: load it where it is needed"


def test_a_container_in_the_foreground_takes_three_processes_and_waits_for_no_disk(
    store_root: Path, ready: str
) -> None:
    told = watch(store_root, "run", "--rm", "--network", "none", ready, "true")
    calls = {line.removeprefix("call "): number for line, number in told.items() if line.startswith("call ")}
    assert calls == {"fork": 2, "posix_spawn of the copy": 1}, (
        "nothing of a container that is removed has to survive a power cut"
    )


def test_so_do_a_command_in_a_container_and_a_listing(lamella: Lamella, store_root: Path, ready: str) -> None:
    lamella("run", "-d", "--name", "web", "--network", "none", ready, "sleep", "1000")
    for words in (("exec", "web", "true"), ("ps", "-a")):
        told = watch(store_root, *words)
        found = modules(told)
        assert "runtime.containers" in found
        assert told["call posix_spawn of the copy"] == (words[0] == "exec")
        assert {name for name in found if name.partition(".")[0] not in OURS} <= LIGHT | {"math"}
