"""Containers that share processes or memory with the host, or with another container."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from runtime import cgroups
from tests.conftest import Lamella, needs

pytestmark = [needs("crun", "conmon"), pytest.mark.skipif(not cgroups.controllers(), reason="needs cgroups")]


def processes(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes().replace(b"\0", b" ").decode() and b"pytest" not in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture
def mark() -> str:
    """An argument of sleep's that nobody else has."""
    return f"6{time.monotonic_ns() % 10**8:08d}"


class TestTheHostsProcesses:
    def test_they_are_seen_and_the_exit_code_comes_through(self, lamella: Lamella, bb: str) -> None:
        script = "readlink /proc/self/ns/pid; exit 5"
        done = lamella("run", "--rm", "--pid", "host", "--network", "none", bb, "sh", "-c", script, check=False)
        assert (done.stdout.strip(), done.returncode) == (os.readlink("/proc/self/ns/pid"), 5)
        assert lamella("ps", "-aq").stdout == ""

    def test_they_are_as_much_behind_walls_as_ever(self, lamella: Lamella, bb: str) -> None:
        script = f"cat /proc/{os.getpid()}/environ > /dev/null; ls /proc/{os.getpid()}/root/; ls /proc/1/cwd/"
        done = lamella("run", "--rm", "--pid", "host", "--network", "none", bb, "sh", "-c", script, check=False)
        assert done.stdout == "" and done.stderr.count("Permission denied") == 3

    def test_exec_top_pause_stop_and_start_again(self, lamella: Lamella, bb: str, mark: str) -> None:
        id = lamella(
            "run", "-d", "--pid", "host", "--network", "none", bb, "sh", "-c", f"sleep {mark} & sleep {mark}"
        ).stdout.strip()
        assert lamella("exec", id, "echo", "in").stdout == "in\n"
        assert lamella("top", id).stdout.count(mark) == 2 and "pytest" not in lamella("top", id).stdout
        lamella("pause", id)
        lamella("unpause", id)
        for _ in range(2):
            lamella("stop", "-t", "0", id)
            assert not processes(mark)
            lamella("start", id)
            assert len(processes(mark)) >= 1
        lamella("rm", "-f", id)
        assert not processes(mark)

    def test_after_kill_9_of_its_monitor_the_next_command_ends_it(
        self, lamella: Lamella, bb: str, store_root: Path, mark: str
    ) -> None:
        id = lamella(
            "run", "-d", "--pid", "host", "--network", "none", bb, "sh", "-c", f"sleep {mark} & sleep {mark}"
        ).stdout.strip()
        os.kill(int((store_root / "containers" / id / "state").read_text().split()[2]), signal.SIGKILL)
        time.sleep(0.1)
        assert lamella("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (137)")
        assert not processes(mark)


class TestAnotherContainer:
    def test_processes_and_memory_are_shared(self, lamella: Lamella, bb: str, mark: str) -> None:
        lamella("run", "-d", "--name", "donor", "--ipc", "shareable", "--network", "none", bb, "sh", "-c",
                f"echo shared > /dev/shm/x; exec sleep {mark}")  # fmt: skip
        script = "until cat /dev/shm/x 2>/dev/null; do sleep 0.05; done; readlink /proc/self/ns/ipc; ps; echo back > /dev/shm/y"
        done = lamella(
            "run",
            "--rm",
            "--pid",
            "container:donor",
            "--ipc",
            "container:donor",
            "--network",
            "none",
            bb,
            "sh",
            "-c",
            script,
        )
        assert done.stdout.startswith("shared\n") and mark in done.stdout
        inside = lamella("exec", "donor", "sh", "-c", "readlink /proc/self/ns/ipc; cat /dev/shm/y").stdout.split()
        assert inside[0] in done.stdout and inside[1] == "back"

    def test_who_does_not_share_is_left_alone(self, lamella: Lamella, bb: str) -> None:
        id = lamella("run", "-d", "--name", "shy", "--network", "none", bb, "sleep", "100").stdout.strip()
        done = lamella("run", "--rm", "--ipc", "container:shy", "--network", "none", bb, "true", check=False)
        assert done.returncode == 125
        assert (
            f"can't join IPC of container {id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            in done.stderr
        )

    @pytest.mark.parametrize("kind", ["pid", "ipc"])
    def test_one_that_is_not_there_or_does_not_run(self, lamella: Lamella, bb: str, kind: str) -> None:
        done = lamella("run", "--rm", f"--{kind}", "container:nope", "--network", "none", bb, "true", check=False)
        assert done.returncode == 125 and "No such container: nope" in done.stderr
        id = lamella("create", "--name", "idle", bb).stdout.strip()
        done = lamella("run", "--rm", f"--{kind}", "container:idle", "--network", "none", bb, "true", check=False)
        assert done.returncode == 125 and f"cannot join {kind.upper()} of a non running container: {id}" in done.stderr

    def test_it_ends_with_the_one_whose_processes_it_shares(self, lamella: Lamella, bb: str, mark: str) -> None:
        lamella("run", "-d", "--name", "host", "--network", "none", bb, "sleep", "100")
        lamella("run", "-d", "--name", "guest", "--pid", "container:host", "--network", "none", bb, "sleep", mark)
        lamella("rm", "-f", "host")
        assert lamella("wait", "guest").stdout == "137\n" and not processes(mark)
