"""What a command may load before it needs it: start-up is a feature."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from store.images import Image
from store.store import Store

Make = Callable[..., Image]
ROOT = Path(__file__).parent.parent.parent
SLOW = {
    "requests", "rich", "cryptography", "granian", "isal", "zstandard", "ctypes", "subprocess", "tempfile", "asyncio", "http",
    "tarfile", "multiprocessing", "logging", "email", "layer", "snapshot", "registry", "runtime", "builder", "cli.gotemplate",
    "cli.progress", "core.syscalls", "core.process",
}  # fmt: skip
STORE_LESS = SLOW | {"sqlite3", "store", "images", "image", "json"}


def loaded(root: Path, *words: str) -> set[str]:
    """The modules that `lamella WORDS` has loaded when it is done."""
    program = (
        "import sys; from cli.main import main; code = main(sys.argv[1:]);"
        "sys.stderr.write('\\n'.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--root", str(root), "--no-sync", *words],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    return set(done.stderr.split("\n"))


CASES = [
    (("version",), STORE_LESS),
    (("help",), STORE_LESS),
    (("images",), SLOW),
    (("images", "app"), SLOW),
    (("image", "ls", "-q", "--no-trunc", "-f", "dangling=true"), SLOW),
    (("tag", "app", "app:2"), SLOW),
    (("rmi", "app:1"), SLOW),
    (("image", "prune", "-f"), SLOW),
    (("history", "app"), SLOW),
    (("inspect", "app"), SLOW),
]


@pytest.mark.parametrize(("words", "slow"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_a_command_loads_nothing_slow(store: Store, make: Make, words: tuple[str, ...], slow: set[str]) -> None:
    make("app", "app:1")
    assert not slow & loaded(store.root, *words)


def test_a_build_that_finds_all_in_the_cache_loads_neither_click_nor_what_runs_and_packs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY file /\nCMD x\n")
    program = (
        "import os, sys; from core import namespaces; namespaces.contained = lambda work: work();"
        "from cli.quick import quick; code = quick(sys.argv[1:], os.environ);"
        "sys.stderr.write('\\n'.join(sys.modules)); sys.exit(code)"
    )
    environ = {**os.environ, "LAMELLA_ROOT": str(tmp_path / "store")}
    words = [sys.executable, "-c", program, "build", "-q", "-t", "app", str(tmp_path)]
    subprocess.run(["unshare", "--mount", *words], env=environ, check=True, capture_output=True, cwd=ROOT)
    done = subprocess.run(
        ["unshare", "--mount", *words], env=environ, check=True, capture_output=True, text=True, cwd=ROOT
    )
    rooms = {
        "click",
        "requests",
        "rich",
        "isal",
        "subprocess",
        "tempfile",
        "layer.unpack",
        "layer.apply",
        "runtime.oci_step",
        "registry",
        "builder.checks.verdict",
        "builder.checks.rules",
        "builder.elsewhere",
        "builder.sources",
    }
    modules = set(done.stderr.split("\n"))
    assert "builder.build" in modules and not rooms & modules
