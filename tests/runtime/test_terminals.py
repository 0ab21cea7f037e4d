"""The terminal of what runs in a container, by every runtime: some send its master, others copy or use the one they have."""

from __future__ import annotations

import os
import pty
import select
import shutil
import socket
import time
from pathlib import Path

import pytest

from runtime import terminal as terminals
from runtime.terminal import Console
from tests.conftest import Lamella, needs
from tests.suites.terminal import Terminal

LEAVE = "\x10\x11"
pytestmark = needs("crun", "conmon")


@pytest.fixture(params=["crun", "runc", "runsc"])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not shutil.which(name):
        pytest.skip(f"needs {name}")
    return name


@pytest.fixture
def web(lamella: Lamella, bb: str, runtime: str) -> str:
    lamella("run", "-d", "--runtime", runtime, "--name", "web", "--network", "none", bb, "sleep", "1000")
    return "web"


def test_exec_has_the_caller_s_size_its_keys_and_its_own_exit_code(store_root: Path, web: str) -> None:
    script = (
        "test -t 0 && echo re''ady; read x; echo got $x; until stty size | grep -x '44 99'; do sleep 0.1; done; exit 5"
    )
    with Terminal(store_root, "exec", "-it", web, "sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.type("words\n")
        terminal.expect("got words")
        terminal.resize(44, 99)
        terminal.expect("44 99")
        assert terminal.exit_code() == 5
        assert terminal.seen.count(b"words\r\n") == 2, "typed once, told once"


def test_control_c_reaches_what_is_executed_alone(store_root: Path, web: str) -> None:
    script = "trap 'echo caught; exit 4' INT; echo re''ady; while :; do sleep 0.05; done"
    with Terminal(store_root, "exec", "-it", web, "sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("caught")
        assert terminal.exit_code() == 4


def test_exec_is_left_and_goes_on(lamella: Lamella, store_root: Path, web: str) -> None:
    script = "echo he''re; until test -e /go; do sleep 0.05; done; echo x; touch /gone"
    with Terminal(store_root, "exec", "-it", web, "sh", "-c", script) as terminal:
        terminal.expect("here")
        terminal.type(LEAVE)
        assert terminal.exit_code() == 0
    lamella("exec", web, "sh", "-c", "touch /go; until test -e /gone; do sleep 0.05; done", timeout=60)


def test_a_run_in_the_foreground_says_all_it_has_to_say(bb: str, store_root: Path, runtime: str) -> None:
    words = ["run", "--rm", "-t", "--runtime", runtime, "--network", "none", bb, "sh", "-c"]
    with Terminal(store_root, *words, "test -t 1 && seq 5000; exit 6") as terminal:
        terminal.expect("5000")
        assert terminal.exit_code() == 6
        assert terminal.seen.split() == [b"%d" % number for number in range(1, 5001)]


def test_a_runtime_that_is_faster_than_the_look_at_it_has_sent_its_master(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends and ends just between the look at the socket and the look at the process."""
    console, (go, gone) = Console(tmp_path / "socket"), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go, 1)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "socket"))
            socket.send_fds(connection, [b"x"], [0])
        os._exit(0)
    look = terminals._has_ended

    def late(asked: int) -> bool:
        os.write(gone, b"x")
        while not look(asked):
            time.sleep(0.01)
        return True

    monkeypatch.setattr(terminals, "_has_ended", late)
    master = console.receive(pid)
    console.close()
    assert master is not None and os.waitpid(pid, 0)[1] == 0
    for fd in (master, go, gone):
        os.close(fd)


def test_who_reads_for_what_was_left_outlives_the_session_of_who_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may end before the reader is in a session of its own."""
    monkeypatch.setattr(os, "setsid", lambda: None)
    master, slave = os.openpty()
    pid, outer = pty.fork()
    if pid == 0:
        os.close(slave)
        terminals._leave(master)
        os._exit(0)
    os.close(master)
    assert os.waitpid(pid, 0)[1] == 0
    poll = select.poll()
    poll.register(slave, 0)
    assert not poll.poll(1000), "nobody has the other side open"
    os.close(slave)
    os.close(outer)
