"""An image made without a builder, so that the runtime is tested by itself; and an end to whatever a test left running."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.locks import is_locked
from image.config import ContainerConfig
from runtime.cgroups import ALL, remove
from runtime.state import cgroups_of, state_directory
from runtime.status import read_status
from runtime.supervision import dismiss
from tests.conftest import Lamella
from tests.suites.rooted import publish_root

MakeImage = Callable[..., str]
Run = Callable[..., str]


@pytest.fixture
def make_image(store_root: Path, rootfs: Path) -> MakeImage:
    """make_image("name", cmd=…, …): an image of the busybox root in the private store; returns the name."""

    def make(name: str = "bb", **config: object) -> str:
        publish_root(store_root, rootfs, name, ContainerConfig(**{"cmd": ("/bin/sh",), **config}))  # type: ignore[arg-type]
        return name

    return make


@pytest.fixture
def bb(make_image: MakeImage) -> str:
    """The plain busybox image."""
    return make_image("bb")


@pytest.fixture
def run(lamella: Lamella, bb: str) -> Run:
    """run(*flags, "script"): what the script prints in a throw-away container of busybox."""

    def go(*words: object, image: str = bb) -> str:
        *flags, script = words
        return lamella("run", "--rm", "--network", "none", *flags, image, "sh", "-c", script).stdout

    return go


@pytest.fixture(autouse=True)
def _nothing_is_left(store_root: Path) -> Iterator[None]:
    """Containers in the background outlive the test's processes: with their keepers all of them end."""
    yield
    for directory in (store_root / "containers").glob("[!.]*"):
        dismiss(directory)
        status = read_status(directory)
        keeper = status.keeper or (status.forked if is_locked(directory / "state") else 0)
        with contextlib.suppress(ProcessLookupError):
            if keeper:
                os.kill(keeper, signal.SIGKILL)
    for name in cgroups_of(state_directory(store_root)):
        remove(f"{ALL}/{name}")
    shutil.rmtree(state_directory(store_root), ignore_errors=True)
