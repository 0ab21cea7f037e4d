"""The command line within this process, on a store of its own, and images that need no build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.main import main
from tests.suites.images import add_layer, digest, layers, make, store

__all__ = ["add_layer", "cli", "digest", "layers", "make", "store"]


class Said(NamedTuple):
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`cli("images", "-q")` runs the command on the store of the fixture `store`."""
    monkeypatch.setenv("LAMELLA_ROOT", str(tmp_path / "store"))
    monkeypatch.setenv("LAMELLA_NO_SYNC", "1")
    monkeypatch.setenv("TZ", "UTC")

    def run(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return run
