"""`lamella update`: limits that count at once where the container has a cgroup, else from its next start."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from runtime import cgroups
from tests.conftest import Lamella, needs

pytestmark = needs("crun", "conmon")
limited = pytest.mark.skipif("memory" not in cgroups.controllers(), reason="needs a memory cgroup that can be written")


def memory(lamella: Lamella, name: str) -> str:
    return lamella("stats", "--no-stream", "--format", "{{.MemUsage}}", name).stdout.strip().partition(" / ")[2]


@limited
class TestLimits:
    def test_they_count_at_once_where_there_is_a_cgroup(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--memory", "64m", "--network", "none", bb, "sleep", "100")
        assert memory(lamella, "web") == "64MiB"
        assert lamella("update", "--memory", "96m", "--pids-limit", "50", "web").stdout == "web\n"
        assert memory(lamella, "web") == "96MiB"
        shown = lamella("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", "web").stdout
        assert shown == f"{96 << 20} 50\n"

    def test_else_from_the_next_start(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sleep", "100")
        done = lamella("update", "--memory", "64m", "web")
        assert done.stdout == "web\n" and "count from its next start" in done.stderr
        assert lamella("exec", "web", "echo", "fine").stdout == "fine\n"
        lamella("restart", "-t", "0", "web")
        assert memory(lamella, "web") == "64MiB"

    def test_what_is_not_named_stays(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "web", "--memory", "64m", "--cpus", "0.5", bb)
        lamella("update", "--cpu-shares", "512", "web")
        shown = lamella(
            "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}}", "web"
        ).stdout
        assert shown == f"{64 << 20} 500000000 512\n"

    def test_what_cannot_be_is_said(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "web", bb)
        for words, code, text in (
            (["web"], 2, "you must provide one or more flags when using this command"),
            (["--memory", "1k", "web"], 1, "Minimum memory limit"),
            (["--memory", "64m", "nosuch"], 1, "No such container: nosuch"),
        ):
            done = lamella("update", *words, check=False)
            assert done.returncode == code and text in done.stderr and not done.stdout
        assert lamella("inspect", "-f", "{{.HostConfig.Memory}}", "web").stdout == "0\n"


class TestRestartPolicy:
    def test_one_that_runs_is_started_again_from_then_on(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sh", "-c", "sleep 1.5; exit 3")
        assert lamella("update", "--restart", "always", "web").stdout == "web\n"
        assert lamella("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "web").stdout == "always\n"
        until(lambda: lamella("inspect", "-f", "{{.RestartCount}}", "web").stdout != "0\n")
        lamella("update", "--restart", "no", "web")
        until(lambda: lamella("ps", "-q").stdout == "")
        time.sleep(1)
        assert lamella("ps", "-a", "--format", "{{.State}}").stdout == "exited\n"

    def test_what_cannot_be_is_said(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--rm", "--name", "web", bb)
        assert "AutoRemove is enabled" in lamella("update", "--restart", "always", "web", check=False).stderr
        assert "unknown policy 'sometimes'" in lamella("update", "--restart", "sometimes", "web", check=False).stderr


def until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not check():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.1)
