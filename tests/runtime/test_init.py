"""`--init`: who is number 1 in a container, what becomes of orphans, and how signals come through it."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.conftest import Lamella, needs
from tests.suites.supervised import until

pytestmark = [
    needs("crun", "conmon"),
    pytest.mark.skipif(not (shutil.which("catatonit") or shutil.which("tini-static")), reason="needs a small init"),
]
ORPHAN = "(sleep 0.1 &); exec sleep 1000"


def test_an_init_reaps_what_nobody_waits_for(lamella: Lamella, bb: str) -> None:
    for name, flags in (("with", ["--init"]), ("without", [])):
        lamella("run", "-d", "--name", name, "--network", "none", *flags, bb, "sh", "-c", ORPHAN)
    until(lambda: "[sleep]" in lamella("exec", "without", "ps").stdout)  # as long as its first process does not care
    processes = lamella("exec", "with", "ps", "-o", "pid,args").stdout
    assert "[sleep]" not in processes and "/sbin/docker-init -- sh -c" in processes.splitlines()[1]
    assert lamella("inspect", "-f", "{{.HostConfig.Init}}", "with", "without").stdout == "true\nfalse\n"


def test_signals_and_exit_codes_come_through(lamella: Lamella, bb: str) -> None:
    script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done"
    lamella(
        "run", "-d", "--init", "--stop-signal", "USR1", "--name", "web", "--network", "none", bb, "sh", "-c", script
    )
    until(lambda: lamella("logs", "web").stdout)
    lamella("stop", "web")
    assert lamella("wait", "web").stdout == "9\n"


@pytest.mark.parametrize(("flags", "mounted"), [([], "1\n"), (["--pid", "host"], "0\n")])
def test_in_the_pid_namespace_of_others_there_is_none(
    lamella: Lamella, bb: str, flags: list[str], mounted: str
) -> None:
    count = ("sh", "-c", "grep -c docker-init /proc/self/mounts; true")
    assert lamella("run", "--rm", "--init", *flags, "--network", "none", bb, *count).stdout == mounted


def test_the_container_s_own_patience_counts(lamella: Lamella, bb: str) -> None:
    lamella("run", "-d", "--stop-timeout", "1", "--name", "deaf", "--network", "none", bb, "sleep", "1000")
    begin = time.monotonic()
    lamella("stop", "deaf")
    assert 1 <= time.monotonic() - begin < 8
    assert lamella("inspect", "-f", "{{.Config.StopTimeout}} {{.State.ExitCode}}", "deaf").stdout == "1 137\n"
