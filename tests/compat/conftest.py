"""A registry of ours and an image of nobody's, for other people's tools."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.suites.layouts import Layout, tar_of
from tests.suites.served import Served

Run = Callable[..., str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("registry") / "data")
    yield server
    server.stop()
    assert server.said == ""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A layout with the image `one` of two layers, and `many`, an index for two platforms."""
    made = Layout(tmp_path / "layout")
    shared = tar_of({"etc/motd": b"hello\n", "data": os.urandom(300_000)})
    one = made.image(shared, tar_of({"second": b"2"}))
    made.name(one=one, many=made.index(one, made.image(shared, architecture="arm64")))
    return made


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command; its output. Raises with what it said where it fails."""

    def call(*command: object, check: bool = True) -> str:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout if check else done.stdout + done.stderr

    return call
