"""Health checks by systemd's timers: what it is told, and that a container is asked as by a supervisor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from core.locks import FileLock
from runtime.checkup import LOCK
from runtime.health import Health
from runtime.status import read_status
from runtime.supervision import entrust
from runtime.timers import Timer, due
from tests.conftest import Lamella, needs
from tests.runtime import test_health
from tests.suites.clockwork import Clockwork
from tests.suites.supervised import supervisors, until

SECOND = 10**9
ID = "a1b2c3d4e5f6" + "0" * 52
Begin = Callable[..., Path]


class TestWords:
    def test_what_systemd_is_told(self) -> None:
        """As read by systemd 252: see docs/runtime.md."""
        assert Timer(ID, "health", 30).words(["/usr/bin/python3", "-c", "import sys", "$HOME"]) == [
            "--quiet", "--collect", f"--unit=lamella-health-{ID}", "--description=health check of container a1b2c3d4e5f6",
            "--on-active=30000000us", "--on-unit-inactive=30000000us", "--timer-property=AccuracySec=100ms",
            "--property=LogLevelMax=notice", "--", "/usr/bin/python3", "-c", "import sys", "$$HOME",
        ]  # fmt: skip

    def test_the_shortest_pause_is_one_that_systemd_can_count(self) -> None:
        assert "--on-active=1us" in Timer(ID, "health", 1e-9).words(["x"])

    @pytest.mark.parametrize(
        ("status", "seconds", "timer"),
        [
            ("starting", 0, ("health-start", 5)), ("starting", 49, ("health-start", 5)),
            ("starting", 50, ("health", 30)), ("healthy", 1, ("health", 30)), ("unhealthy", 1, ("health", 30)),
        ],
    )  # fmt: skip
    def test_while_it_may_be_starting_it_has_another_one(
        self, status: str, seconds: int, timer: tuple[str, float]
    ) -> None:
        health = Health(("CMD", "x"), start_period=50 * SECOND)
        assert due(ID, health, status, SECOND, (1 + seconds) * SECOND) == Timer(ID, *timer)

    def test_where_both_pauses_are_one_it_has_one(self) -> None:
        health = Health(("CMD", "x"), interval=5 * SECOND, start_period=50 * SECOND)
        assert due(ID, health, "starting", 0, 0) == Timer(ID, "health", 5)


@pytest.fixture
def clockwork(tmp_path: Path) -> Iterator[Clockwork]:
    """A machine with systemd's timers."""
    made = Clockwork(tmp_path / "clockwork")
    yield made
    made.close()


@pytest.fixture
def lamella(lamella: Lamella, clockwork: Clockwork) -> Lamella:
    """The command line on that machine."""
    return partial(lamella, preexec_fn=clockwork.see)


@needs("crun", "conmon")
class TestAsBySupervisor:
    """What holds with a supervisor holds, and there is none."""

    Shared = test_health.TestChecks
    begin, health = Shared.begin, Shared.health
    test_before_it_is_asked_it_is_starting = Shared.test_before_it_is_asked_it_is_starting
    test_a_container_becomes_well_and_ill = Shared.test_a_container_becomes_well_and_ill
    test_it_is_asked_as_its_own_user = Shared.test_it_is_asked_as_its_own_user_in_its_own_directory
    test_in_the_foreground_it_is_asked_too = Shared.test_in_the_foreground_it_is_asked_too
    test_a_paused_one_is_not_asked = Shared.test_a_paused_one_is_not_asked
    test_a_new_run_begins_anew = Shared.test_a_new_run_begins_anew
    test_when_its_keeper_is_killed_in_a_check = Shared.test_when_its_keeper_is_killed_in_a_check_all_of_it_ends
    del Shared

    @pytest.fixture(autouse=True)
    def nobody_waits(self, store_root: Path, clockwork: Clockwork) -> Iterator[None]:
        yield
        assert not supervisors(store_root) and "systemd-run" in {call[0] for call in clockwork.calls()}


@needs("crun", "conmon")
class TestTimers:
    @pytest.fixture
    def begin(self, lamella: Lamella, bb: str, store_root: Path) -> Begin:
        """begin("--health-cmd", …): the directory of a container `web` that runs with these flags."""

        def run(*flags: str) -> Path:
            lamella("run", "-d", "--name", "web", "--network", "none", *flags, bb, "sleep", "1000")
            return next((store_root / "containers").iterdir())

        return run

    @pytest.mark.parametrize("end", [("stop", "-t", "0", "web"), ("kill", "web"), ("rm", "-f", "web")])
    def test_it_ends_with_the_container(
        self, lamella: Lamella, begin: Begin, clockwork: Clockwork, end: tuple[str, ...]
    ) -> None:
        directory = begin("--health-cmd", "true")
        assert [file.name for file in clockwork.timers()] == [f"lamella-health-{directory.name}.timer"]
        lamella(*end)
        assert not clockwork.timers() and not (directory / "supervised").exists()

    def test_it_ends_with_a_container_that_ends_by_itself(
        self, lamella: Lamella, begin: Begin, clockwork: Clockwork
    ) -> None:
        directory = begin("--health-cmd", "true", "--init")
        lamella("exec", "web", "kill", "1", check=False)  # which ends with it
        until(lambda: not clockwork.timers())
        assert not (directory / "supervised").exists()

    def test_the_next_command_ends_one_whose_keeper_was_killed(
        self, lamella: Lamella, begin: Begin, clockwork: Clockwork
    ) -> None:
        directory = begin("--health-cmd", "true")
        os.kill(read_status(directory).keeper, signal.SIGKILL)
        until(lambda: not read_status(directory).running)
        assert clockwork.timers()
        lamella("ps")
        assert not clockwork.timers() and not (directory / "supervised").exists()

    def test_the_next_command_lets_go_of_one_that_never_ran(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        """Its start was cut short between the two."""
        lamella("create", "--health-cmd", "true", bb)
        directory = next((store_root / "containers").iterdir())
        entrust(directory)
        lamella("ps")
        assert not (directory / "supervised").exists()

    def test_without_any_command_it_ends_itself(self, begin: Begin, clockwork: Clockwork) -> None:
        directory = begin("--health-cmd", "true", "--health-interval", "200ms")
        os.kill(read_status(directory).keeper, signal.SIGKILL)
        until(lambda: not clockwork.timers())
        assert not (directory / "supervised").exists()

    def test_one_that_could_not_be_stopped_ends_itself(
        self, lamella: Lamella, begin: Begin, clockwork: Clockwork
    ) -> None:
        begin("--health-cmd", "true", "--health-interval", "200ms")
        clockwork.broken.touch()
        lamella("rm", "-f", "web")
        assert clockwork.timers()
        clockwork.broken.unlink()
        until(lambda: not clockwork.timers())

    def test_one_that_is_lost_is_begun_again_by_the_next_command(
        self, lamella: Lamella, begin: Begin, clockwork: Clockwork
    ) -> None:
        begin("--health-cmd", "true")
        before = clockwork.timers()
        clockwork.close()
        lamella("ps")
        assert clockwork.timers() == before

    def test_while_it_may_be_starting_it_is_asked_more_often(
        self, lamella: Lamella, begin: Begin, clockwork: Clockwork
    ) -> None:
        pauses = ("--health-start-period", "100s", "--health-start-interval", "200ms")
        directory = begin("--health-cmd", "test -e /well", *pauses)
        assert [file.name for file in clockwork.timers()] == [f"lamella-health-start-{directory.name}.timer"]
        lamella("exec", "web", "touch", "/well")
        until(lambda: [file.name for file in clockwork.timers()] == [f"lamella-health-{directory.name}.timer"])
        assert lamella("ps", "--format", "{{.Status}}").stdout.endswith(" (healthy)\n")

    def test_where_systemd_refuses_there_is_a_supervisor(
        self, lamella: Lamella, begin: Begin, clockwork: Clockwork, store_root: Path
    ) -> None:
        clockwork.broken.touch()
        begin("--health-cmd", "true", "--health-interval", "200ms")
        assert supervisors(store_root)
        until(lambda: lamella("ps", "--format", "{{.Status}}").stdout.endswith(" (healthy)\n"))
        assert not clockwork.timers()

    def test_a_restart_policy_has_a_supervisor_which_asks_too(
        self, lamella: Lamella, begin: Begin, clockwork: Clockwork, store_root: Path
    ) -> None:
        directory = begin("--health-cmd", "true", "--restart", "always")
        assert supervisors(store_root) and not clockwork.timers()
        lamella("update", "--restart", "no", "web")
        until(lambda: not supervisors(store_root))
        assert [file.name for file in clockwork.timers()] == [f"lamella-health-{directory.name}.timer"]
        lamella("update", "--restart", "always", "web")
        assert supervisors(store_root) and not clockwork.timers()


@needs("crun", "conmon")
class TestByHand:
    def test_it_counts_and_its_exit_code_tells(self, lamella: Lamella, bb: str) -> None:
        flags = ("--health-cmd", "echo asked; test -e /well", "--health-interval", "1h", "--health-retries", "1")
        lamella("run", "-d", "--name", "web", "--network", "none", *flags, bb, "sleep", "1000")
        ill = lamella("healthcheck", "run", "web", check=False)
        assert (ill.returncode, ill.stdout) == (1, "unhealthy\n")
        assert "(unhealthy)" in lamella("ps").stdout
        lamella("exec", "web", "touch", "/well")
        well = lamella("healthcheck", "run", "web")
        assert well.stdout == "" and "(healthy)" in lamella("ps").stdout
        shown = lamella("inspect", "-f", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}", "web").stdout
        assert shown == "1 asked\n0 asked\n\n"

    def test_who_cannot_be_asked(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "mute", bb)
        lamella("create", "--name", "still", "--health-cmd", "true", bb, "sleep", "1000")
        lamella("run", "-d", "--name", "held", "--network", "none", "--health-cmd", "true", bb, "sleep", "1000")
        lamella("pause", "held")
        for name, why in (
            ("mute", "has no health check"), ("still", "is not running"), ("held", "is paused"), ("none", "No such container"),
        ):  # fmt: skip
            done = lamella("healthcheck", "run", name, check=False)
            assert done.returncode == 125 and why in done.stderr, done.stderr

    def test_one_after_the_other_is_written_down(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        flags = ("--health-cmd", "touch /asked; false", "--health-interval", "1h")
        lamella("run", "-d", "--name", "web", "--network", "none", *flags, bb, "sleep", "1000")
        directory = next((store_root / "containers").iterdir())
        with ThreadPoolExecutor(1) as pool, FileLock(directory / LOCK).held():
            told = pool.submit(lamella, "healthcheck", "run", "web", check=False)
            until(lambda: lamella("exec", "web", "test", "-e", "/asked", check=False).returncode == 0)
            with pytest.raises(TimeoutError):
                told.result(1)
        assert told.result().returncode == 1
        assert lamella("inspect", "-f", "{{.State.Health.FailingStreak}}", "web").stdout == "1\n"
