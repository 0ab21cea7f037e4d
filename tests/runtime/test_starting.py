"""Starts that are cut short between two steps: conmon lives, holds the lock, and waits for what will never come."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.status import last_status, read_status
from tests.conftest import ROOT, Lamella, needs
from tests.suites.driven import Driven
from tests.suites.supervised import at_rest, processes, until

pytestmark = needs("crun", "conmon")
# `lamella start`, up to the line where it is killed.
CUT_SHORT = """
import os, signal, sys
from pathlib import Path
from cli.containers import Workshop
from cli.settings import Settings
from runtime import conmon
from runtime.probe import choose

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

with Workshop(Settings.read(root=sys.argv[1], sync=False, debug=False)) as shop:
    (container,) = shop.containers.all()
    lock = shop.containers.lock(container)
    shop.containers.set_running(container, True)
    if sys.argv[2] == "created":
        conmon.Monitored.start = killed
    if sys.argv[2] == "noted":
        conmon.Monitored._runtime = killed
    conmon.create(shop.containers, container, lock, choose, shop.state).start(shop.containers.directory(container))
"""


@pytest.fixture(params=["created", "noted"])
def stuck(request: pytest.FixtureRequest, lamella: Lamella, bb: str, store_root: Path) -> Path:
    """The directory of a container whose start was cut short, with a conmon that nobody waits for."""
    lamella("create", "--name", "job", "--network", "none", bb, "sleep", "1000")
    done = subprocess.run(
        [sys.executable, "-c", CUT_SHORT, store_root, request.param],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -9
    until(lambda: processes(store_root))
    return next((store_root / "containers").iterdir())


def test_the_next_command_ends_it(lamella: Lamella, stuck: Path, store_root: Path) -> None:
    assert lamella("ps", "-a", "--format", "{{.State}}").stdout in ("created\n", "exited\n")
    until(lambda: not processes(store_root))
    assert not (stuck / "starting").exists()


def test_it_can_be_started_again(lamella: Lamella, stuck: Path, store_root: Path) -> None:
    lamella("start", "job")
    assert lamella("exec", "job", "echo", "fine").stdout == "fine\n" and read_status(stuck).running


@pytest.mark.parametrize("words", [("stop", "-t", "0"), ("rm", "-f")])
def test_it_can_be_stopped_and_removed(lamella: Lamella, stuck: Path, store_root: Path, words: tuple[str, ...]) -> None:
    lamella(*words, "job", timeout=30)
    lamella("ps")
    until(lambda: not processes(store_root))


def cleanups(root: Path) -> list[int]:
    found = processes(root).items()
    return [pid for pid, words in found if "container cleanup" in words and not words.startswith("/usr/bin/conmon")]


def caught(root: Path) -> int:
    """The clean-up of a container that is just ending, stopped before it has done its work; 0 where it was faster."""
    until(lambda: cleanups(root) or at_rest(root))
    for pid in cleanups(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            if last_status(next((root / "containers").iterdir())).running:
                return pid
            os.kill(pid, signal.SIGCONT)
    return 0


def test_it_is_not_started_again_before_its_last_run_is_cleaned_up(
    lamella: Lamella, bb: str, store_root: Path, tmp_path: Path
) -> None:
    """Two would have the same files mounted, and the first one's last words would be taken for the second's."""
    script = "test -e /flags/stay && sleep 1000; exit 5"
    lamella("create", "--name", "job", "--network", "none", "-v", f"{tmp_path}:/flags", bb, "sh", "-c", script)
    slow = 0
    while not slow:
        lamella("start", "job")
        slow = caught(store_root)
    (tmp_path / "stay").touch()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "lamella", "start", "job"],
            cwd=ROOT,
            env={**os.environ, "LAMELLA_ROOT": str(store_root)},
        ) as start:
            try:
                time.sleep(1)
                assert start.poll() is None
            finally:
                os.kill(slow, signal.SIGCONT)
            assert start.wait(60) == 0
    finally:
        until(lambda: not cleanups(store_root), 60)
    assert lamella("ps", "--format", "{{.Names}} {{.State}}").stdout == "job running\n"


# Runs a command that is interrupted in what it is named for.
INTERRUPTED = """
import sys
import runtime.conmon
from lamella.__main__ import main
def interrupt(*_): raise KeyboardInterrupt
moment = sys.argv.pop(1)
if moment == "created": runtime.conmon._check_created = interrupt
if moment == "started":
    do = runtime.conmon.Monitored._runtime
    runtime.conmon.Monitored._runtime = lambda self, verb, *rest: (interrupt if verb == "start" else do)(self, verb, *rest)
main()
"""


@pytest.mark.parametrize("moment", ["created", "started"])
@pytest.mark.parametrize("flags", [["-d"], ["-d", "--rm"], ["-d", "--pid", "host"], []])
def test_interrupted_while_it_starts_it_does_not_wait_for_ever(
    lamella: Lamella, bb: str, store_root: Path, moment: str, flags: list[str]
) -> None:
    words = ["run", *flags, "--network", "none", bb, "sh", "-c", f"echo {store_root}; sleep 1000"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, moment, *words], capture_output=True, text=True, timeout=60, cwd=ROOT,
        env={**os.environ, "LAMELLA_ROOT": str(store_root)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "") and "interrupted" in done.stderr
    Driven(store_root).settle()
    assert lamella("ps", "-q").stdout == ""


def test_a_runtime_that_can_neither_start_it_nor_end_it_is_not_waited_for(
    lamella: Lamella, bb: str, store_root: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "crun"
    broken.write_text(
        '#!/bin/sh\nfor word; do case $word in start) echo it will not >&2; exit 1;; kill) exit 1;; esac; done\nexec crun "$@"\n'
    )
    broken.chmod(0o755)
    done = lamella("run", "-d", "--runtime", broken, "--network", "none", bb, "sleep", "1000", check=False, timeout=60)
    assert done.returncode == 125 and "could not start it" in done.stderr
    Driven(store_root).settle()
    assert lamella("ps", "-q").stdout == ""
