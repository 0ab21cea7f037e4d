"""crun from a sealed copy in memory, which it has not to make itself."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.engine import Engine
from runtime.sealed import sealed
from tests.conftest import Lamella, needs

pytestmark = needs("crun", "busybox")


def crun() -> Engine:
    path = shutil.which("crun")
    assert path
    return Engine("crun", path, ("--cgroup-manager=disabled",))


def test_nobody_can_write_to_the_copy_and_it_is_the_same_program() -> None:
    engine = sealed(crun())
    assert engine.path.startswith("/proc/self/fd/") and engine.options == crun().options
    copy = int(engine.path.rpartition("/")[2])
    assert Path(engine.path).read_bytes() == Path(crun().path).read_bytes()
    for attempt in (
        lambda: os.write(copy, b"x"),
        lambda: os.ftruncate(copy, 0),
        lambda: fcntl.fcntl(copy, fcntl.F_ADD_SEALS, 0),
    ):
        with pytest.raises(PermissionError):
            attempt()
    assert not os.get_inheritable(copy)
    said = subprocess.run(
        [engine.path, "--version"], executable=engine.path, pass_fds=[copy], capture_output=True, check=True
    )
    assert said.stdout.startswith(b"crun ")


def test_another_runtime_and_a_machine_that_refuses_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runc = Engine("runc", "/usr/sbin/runc")
    assert sealed(runc) is runc

    def refuse(*words: object) -> int:
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert sealed(crun()) == crun()


def test_a_container_cannot_see_the_copy_nor_the_runtimes_file(lamella: Lamella, bb: str) -> None:
    script = "ls -l /proc/self/fd /proc/1/fd; cat /proc/mounts"
    said = lamella("run", "--rm", "--network", "none", bb, "sh", "-c", script).stdout
    assert "crun" not in said and "memfd" not in said
