"""kill -9 of whatever belongs to a container, at any instant: `ps` tells the truth, and nothing is left after the next command.

Nine phases, in each of which at least `KILLS` processes are killed while they are at work; the number is printed.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.state import state_directory
from tests.suites.driven import Driven
from tests.suites.killing import kill_commands
from tests.suites.supervised import until

KILLS = 12  # in each phase, of which there are nine
ROUNDS_AT_MOST = KILLS * 4
MARK = f"kill-container-{os.getpid()}"
FOREVER = ("sh", "-c", f"echo {MARK}; sleep 1000; :")
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("crun"), reason="needs root and crun"),
    pytest.mark.timeout(900),
]


class Machine(Driven):
    """A private store, and what of it is to be found on the machine."""

    def alive(self) -> dict[int, str]:
        """The living processes of the store: pid → command line."""
        found = {}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                if (str(self.root).encode() in words or MARK.encode() in words) and pid != os.getpid():
                    found[pid] = words.replace(b"\0", b" ").decode()
        return found

    def own(self) -> list[int]:
        """What runs in the container."""
        return [pid for pid, words in self.alive().items() if words.startswith(f"sh -c echo {MARK}")]

    def beside(self, *words: str) -> list[int]:
        """What runs beside it, with one of `words` in its command line."""
        return [
            pid for pid, line in self.alive().items() if str(self.root) in line and any(word in line for word in words)
        ]

    def states(self) -> dict[str, str]:
        """name → state, as `ps` has it."""
        return dict(line.split() for line in self.run("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines())

    def tell_the_truth(self, name: str = "job") -> str:
        """What `ps` says of the only container, after it was seen to be so; empty where there is none."""
        told = self.states().get(name, "")
        if told in ("running", "paused"):
            until(self.own, 5)  # what is started again and again may just have ended
        elif told != "restarting":
            until(lambda: not self.own(), 5)
        return told

    def finish(self, phase: str, kills: int) -> None:
        """After all the kills: with one more command nothing is left."""
        print(f"{phase}: {kills} killed")
        self.clear()
        self.run("image", "prune", "-f")
        assert not list(self.strays()) and not self.states()
        assert kills >= KILLS

    def clear(self) -> None:
        """Remove what is there, and look around."""
        names = self.run("ps", "-aq").split()
        if names:
            self.run("rm", "-f", *names)
        self.settle()
        assert not list((self.root / "containers").iterdir()), "directories are left"
        assert not list((self.root / "snapshots").iterdir()), "layers are left"
        assert not self.cgroups(), "cgroups are left"

    def cgroups(self) -> list[str]:
        """The containers' cgroups on whichever hierarchies there are."""
        mark = state_directory(self.root).name
        return [path for path, names, _ in os.walk("/sys/fs/cgroup") if "lamella" in path and mark in path]


@pytest.fixture
def machine(store_root: Path, base: str) -> Iterator[Machine]:
    found = Machine(store_root, mark=MARK)
    yield found
    found.clear()


def shoot(pid: int) -> bool:
    """Kill -9; whether it was still alive."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def commands(
    machine: Machine,
    prepare: Callable[[int], None],
    words: Callable[[int], tuple[object, ...]],
    after: Callable[[int], None],
) -> int:
    """Clear, prepare, start, kill, check, until there were enough real kills; their number."""

    def begin(number: int) -> None:
        machine.clear()
        prepare(number)

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # a container would hold the pipes
    return kill_commands(machine, KILLS, begin, words, after, **quiet)


def victims(
    machine: Machine,
    begin: Callable[[int], object],
    choose: Callable[[], list[int]],
    after: Callable[[int], None],
    pause: float = 0.3,
) -> int:
    """Begin, wait a while, kill one of those that `choose` names, check; the number of kills."""
    generator = random.Random()
    kills = 0
    for number in range(1, ROUNDS_AT_MOST):
        machine.clear()
        begin(number)
        time.sleep(generator.uniform(0, pause))
        end = time.monotonic() + 5
        while not (found := choose()) and time.monotonic() < end:
            time.sleep(0.001)
        if found:
            kills += shoot(generator.choice(found))
        after(number)
        if kills >= KILLS:
            break
    return kills


def job(machine: Machine, *flags: str, command: tuple[str, ...] = FOREVER) -> None:
    machine.run("run", "-d", "--name", "job", "--network", "none", *flags, "bb", *command)


def test_killed_run_starting(machine: Machine) -> None:
    def words(number: int) -> tuple[object, ...]:
        flags = (["--rm"], ["--restart", "always"], [])[number % 3]
        return ("run", "-d", "--name", "job", "--network", "none", *flags, "bb", *FOREVER)

    kills = commands(machine, lambda _: None, words, lambda _: _whatever(machine))
    machine.finish("run starting", kills)


def _whatever(machine: Machine) -> None:
    machine.tell_the_truth()


def test_killed_while_it_runs_detached(machine: Machine) -> None:
    def after(_: int) -> None:
        until(lambda: not machine.beside("conmon"))
        assert machine.tell_the_truth() == "exited"
        assert "Exited (137)" in machine.run("ps", "-a", "--format", "{{.Status}}")

    kills = victims(machine, lambda _: job(machine), lambda: [*machine.own(), *machine.beside("conmon")], after)
    machine.finish("running detached", kills)


def test_killed_while_it_runs_in_the_foreground(machine: Machine) -> None:
    running: list[subprocess.Popen[str]] = []

    def begin(_: int) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        running.append(machine.start("run", "--rm", "--name", "job", "--network", "none", "bb", *FOREVER, **quiet))
        until(machine.own)

    def after(_: int) -> None:
        assert running.pop().wait(10) in (-9, 137)
        assert machine.tell_the_truth() == ""

    kills = victims(machine, begin, lambda: list(machine.alive()), after)
    machine.finish("running foreground", kills)


def test_killed_execs(machine: Machine) -> None:
    def after(_: int) -> None:
        assert machine.tell_the_truth() == "running"
        assert machine.run("exec", "job", "echo", "fine") == "fine\n"

    words = ("exec", "job", "sh", "-c", "sleep 0.3")
    kills = commands(machine, lambda _: job(machine), lambda _: words, after)
    machine.finish("exec", kills)


def test_killed_stops(machine: Machine) -> None:
    def after(_: int) -> None:
        assert machine.tell_the_truth() in ("running", "exited")
        machine.run("stop", "-t", "0", "job")
        assert machine.tell_the_truth() == "exited"

    def prepare(number: int) -> None:
        job(machine, *(["--restart", "always"] if number % 2 else []))

    kills = commands(machine, prepare, lambda _: ("stop", "-t", "0", "job"), after)
    machine.finish("stop", kills)


def test_killed_removals(machine: Machine) -> None:
    def prepare(number: int) -> None:
        job(machine, *(["--health-cmd", "true"] if number % 2 else []))

    def after(_: int) -> None:
        assert machine.tell_the_truth() in ("", "running", "exited")

    kills = commands(machine, prepare, lambda _: ("rm", "-f", "job"), after)
    machine.finish("rm", kills)


def test_killed_restarts(machine: Machine) -> None:
    """Supervisors, what they call to start it, conmon and what that calls when it has ended."""

    def after(_: int) -> None:
        assert machine.tell_the_truth() in ("running", "restarting", "exited")
        runs = machine.run("logs", "job").count(MARK)
        until(lambda: machine.states() and machine.run("logs", "job").count(MARK) > runs)
        machine.run("stop", "-t", "0", "job")
        assert machine.tell_the_truth() == "exited"

    script = ("sh", "-c", f"echo {MARK}; sleep 0.1; exit 1")
    choose = lambda: machine.beside("cli.supervise", "conmon", "container again", "container cleanup")  # noqa: E731
    begin = lambda _: job(machine, "--restart", "always", command=script)  # noqa: E731
    machine.finish("restart", victims(machine, begin, choose, after, pause=1.0))


def test_killed_probes(machine: Machine) -> None:
    """The supervisor, its children, and the runtime that executes the check."""

    def after(_: int) -> None:
        assert machine.tell_the_truth() == "running"
        until(lambda: "(healthy)" in machine.run("ps", "--format", "{{.Status}}"))

    choose = lambda: machine.beside("cli.supervise", "crun exec") + machine.beside("health-")  # noqa: E731
    begin = lambda _: job(machine, "--health-cmd", "sleep 0.1", "--health-interval", "50ms")  # noqa: E731
    machine.finish("health probe", victims(machine, begin, choose, after, pause=0.6))


def test_killed_cleanups(machine: Machine) -> None:
    def begin(number: int) -> None:
        job(machine, *(["--rm"] if number % 2 else []), command=("sh", "-c", f"echo {MARK}; sleep 0.2; exit 5"))

    def after(number: int) -> None:
        until(lambda: not machine.beside("conmon", "container cleanup"))
        told = machine.tell_the_truth()
        assert told == ("" if number % 2 else "exited")
        if told:
            assert "Exited (5)" in machine.run("ps", "-a", "--format", "{{.Status}}")

    def choose() -> list[int]:
        return [
            pid for pid in machine.beside("container cleanup") if "conmon" not in machine.alive().get(pid, "conmon")
        ]

    machine.finish("cleanup", victims(machine, begin, choose, after, pause=0))
