"""Health checks: what is asked, when, and what is told of the answers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image.config import HealthCheck
from runtime.health import MAX_OUTPUT, Health, Record, Result, merge, said
from runtime.status import read_status
from tests.conftest import Lamella, needs
from tests.suites.supervised import at_rest, supervisors, until

SECOND = 10**9


def result(code: int, start: float = 100) -> Result:
    return Result(int(start * SECOND), int(start * SECOND) + 1, code, "")


def after(health: Health, *results: Result) -> tuple[str, int]:
    record = Record(started=0)
    for one in results:
        record = record.after(one, health)
    return record.status, record.streak


class TestRules:
    def test_what_the_user_leaves_open_the_image_says(self) -> None:
        image = HealthCheck(("CMD-SHELL", "probe"), interval=5, timeout=6, retries=7)
        wanted = HealthCheck((), timeout=60)
        expected = Health(("CMD-SHELL", "probe"), interval=5, timeout=60, retries=7, shell=("/bin/ash", "-c"))
        assert merge(wanted, image, ("/bin/ash", "-c")) == expected
        assert merge(None, None, ("/bin/ash", "-c")) is None

    @pytest.mark.parametrize(
        ("health", "command"),
        [
            (Health(("CMD", "probe", "a b")), ("probe", "a b")),
            (Health(("CMD-SHELL", "probe | grep x")), ("/bin/sh", "-c", "probe | grep x")),
            (Health(("CMD-SHELL", "probe"), shell=("/bin/ash", "-ec")), ("/bin/ash", "-ec", "probe")),
            (Health(("NONE",)), ()),
            (Health(()), ()),
            (Health(("WHATEVER", "x")), ()),
        ],
    )
    def test_what_is_executed(self, health: Health, command: tuple[str, ...]) -> None:
        assert health.command == command

    def test_one_success_is_enough_and_three_failures_are_too_many(self) -> None:
        health = Health(("CMD", "x"))
        assert after(health, result(0)) == ("healthy", 0)
        assert after(health, result(1), result(2)) == ("starting", 2)
        assert after(health, result(1), result(2), result(-1)) == ("unhealthy", 3)
        assert after(health, result(0), result(1), result(1)) == ("healthy", 2)
        assert after(health, *[result(1)] * 5, result(0)) == ("healthy", 0)
        assert after(Health(("CMD", "x"), retries=1), result(1)) == ("unhealthy", 1)

    def test_failures_do_not_count_in_the_start_period_unless_it_was_well_already(self) -> None:
        health = Health(("CMD", "x"), start_period=50 * SECOND, retries=1)
        assert after(health, result(1, 10), result(1, 49)) == ("starting", 0)
        assert after(health, result(1, 10), result(1, 51)) == ("unhealthy", 1)
        assert after(health, result(0, 10), result(1, 20)) == ("unhealthy", 1)

    def test_when_the_next_one_is_due(self) -> None:
        health = Health(("CMD", "x"), start_period=50 * SECOND)
        assert health.pause("starting", 0, 10 * SECOND) == 5
        assert health.pause("healthy", 0, 10 * SECOND) == health.pause("starting", 0, 51 * SECOND) == 30
        own = Health(("CMD", "x"), interval=2 * SECOND, start_period=50 * SECOND, start_interval=SECOND // 2)
        assert (own.pause("starting", 0, 0), own.pause("healthy", 0, 0)) == (0.5, 2)

    def test_five_results_are_kept_and_of_each_so_much(self) -> None:
        record = Record(started=0)
        for code in range(9):
            record = record.after(result(code), Health(("CMD", "x")))
        assert [one["ExitCode"] for one in record.log] == [4, 5, 6, 7, 8]
        assert said(b"x" * MAX_OUTPUT) == "x" * MAX_OUTPUT
        assert said(b"x" * MAX_OUTPUT + b"y") == "x" * (MAX_OUTPUT - 3) + "..." and said(b"\xff") == "�"


Begin = Callable[..., Path]


@needs("crun", "conmon")
class TestChecks:
    @pytest.fixture
    def begin(self, lamella: Lamella, bb: str, store_root: Path) -> Begin:
        """begin("--health-cmd", …): the directory of a container `web` that runs with these flags."""

        def run(*flags: str, image: str = bb) -> Path:
            lamella("run", "-d", "--name", "web", "--network", "none", *flags, image, "sleep", "1000")
            return next((store_root / "containers").iterdir())

        return run

    def health(self, lamella: Lamella) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(lamella("inspect", "-f", "{{json .State.Health}}", "web").stdout)
        return found

    def test_before_it_is_asked_it_is_starting(self, lamella: Lamella, begin: Begin) -> None:
        begin("--health-cmd", "true", "--health-interval", "1h")
        assert lamella("ps", "--format", "{{.Status}}").stdout.endswith(" (health: starting)\n")

    def test_a_container_becomes_well_and_ill(self, lamella: Lamella, begin: Begin) -> None:
        begin(
            "--health-cmd",
            "test ! -e /ill && echo fine || { echo alas; exit 1; }",
            "--health-interval",
            "300ms",
            "--health-retries",
            "2",
        )
        until(lambda: lamella("ps", "--format", "{{.Status}}").stdout.endswith(" (healthy)\n"))
        log = self.health(lamella)["Log"]
        assert (log[0]["ExitCode"], log[0]["Output"]) == (0, "fine\n") and log[0]["Start"] < log[0]["End"]
        lamella("exec", "web", "touch", "/ill")
        until(lambda: lamella("ps", "--format", "{{.Status}}").stdout.endswith(" (unhealthy)\n"))
        found = self.health(lamella)
        assert (found["Status"], found["Log"][-1]["Output"]) == ("unhealthy", "alas\n") and found["FailingStreak"] >= 2
        for value, shown in (("unhealthy", "web\n"), ("healthy", ""), ("none", ""), ("starting", "")):
            assert lamella("ps", "-f", f"health={value}", "--format", "{{.Names}}").stdout == shown
        told = lamella("events", "--since", "1m", "--until", "0s", "--format", "{{.Action}}").stdout.splitlines()
        assert [one for one in told if "health" in one] == ["health_status: healthy", "health_status: unhealthy"]

    def test_it_is_asked_as_its_own_user_in_its_own_directory(self, lamella: Lamella, begin: Begin) -> None:
        begin(
            "-u",
            "web",
            "-w",
            "/tmp",
            "-e",
            "WHO=me",
            "--health-cmd",
            "id -u; pwd; echo $WHO",
            "--health-interval",
            "200ms",
        )
        until(lambda: self.health(lamella)["Log"])
        assert self.health(lamella)["Log"][0]["Output"] == "1000\n/tmp\nme\n"

    def test_one_that_takes_too_long_is_killed_and_has_failed(
        self, lamella: Lamella, begin: Begin, store_root: Path
    ) -> None:
        begin(
            "--health-cmd",
            "echo so far; sleep 777 & sleep 777",
            "--health-interval",
            "200ms",
            "--health-timeout",
            "300ms",
            "--health-retries",
            "1",
        )
        until(lambda: self.health(lamella)["Log"])
        found = self.health(lamella)
        assert (found["Status"], found["Log"][0]["ExitCode"]) == ("unhealthy", -1)
        assert found["Log"][0]["Output"] == "Health check exceeded timeout (300ms): so far\n"
        until(lambda: len(self.health(lamella)["Log"]) >= 5, 30)
        alive = [line for line in lamella("exec", "web", "ps").stdout.splitlines() if line.endswith(" sleep 777")]
        assert len(alive) <= 3, alive  # of the check that is under way; five have come before it

    def test_a_command_that_is_not_there_has_failed(self, lamella: Lamella, begin: Begin, make_image: object) -> None:
        begin(image=make_image("odd", healthcheck=HealthCheck(("CMD", "/nonesuch"), interval=SECOND // 5)))  # type: ignore[operator]
        until(lambda: self.health(lamella)["Log"])
        log = self.health(lamella)["Log"]
        assert log[0]["ExitCode"] == -1 and "/nonesuch" in log[0]["Output"] and "o such file" in log[0]["Output"]

    def test_much_output_is_cut_and_does_not_stop_it(self, lamella: Lamella, begin: Begin) -> None:
        begin("--health-cmd", "seq 100000", "--health-interval", "200ms")
        until(lambda: self.health(lamella)["Log"])
        log = self.health(lamella)["Log"]
        assert log[0]["ExitCode"] == 0 and len(log[0]["Output"]) == MAX_OUTPUT and log[0]["Output"].endswith("...")

    def test_the_image_s_check_counts_with_the_image_s_shell(
        self, lamella: Lamella, begin: Begin, make_image: object
    ) -> None:
        check = HealthCheck(("CMD-SHELL", "echo $0-$-"), interval=SECOND // 5)
        begin(image=make_image("checked", healthcheck=check, shell=("/bin/sh", "-euc")))  # type: ignore[operator]
        until(lambda: self.health(lamella)["Log"])
        assert "e" in self.health(lamella)["Log"][0]["Output"].partition("-")[2]
        shown = json.loads(lamella("inspect", "-f", "{{json .Config.Healthcheck}}", "web").stdout)
        assert shown == {"Test": ["CMD-SHELL", "echo $0-$-"], "Interval": SECOND // 5}

    def test_none_is_asked_nothing(self, lamella: Lamella, begin: Begin, make_image: object, store_root: Path) -> None:
        check = HealthCheck(("CMD-SHELL", "true"), interval=SECOND // 5)
        begin("--no-healthcheck", image=make_image("checked", healthcheck=check))  # type: ignore[operator]
        assert not supervisors(store_root)
        assert lamella("inspect", "-f", "{{.Config.Healthcheck.Test}}", "web").stdout == "[NONE]\n"
        assert "no such field: Health" in lamella("inspect", "-f", "{{.State.Health}}", "web", check=False).stderr
        assert lamella("ps", "-f", "health=none", "--format", "{{.Names}} {{.Status}}").stdout.startswith("web Up ")

    def test_in_the_foreground_it_is_asked_too(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        script = "until test -e /asked; do sleep 0.05; done; echo seen"
        done = lamella(
            "run",
            "--rm",
            "--network",
            "none",
            "--health-cmd",
            "touch /asked",
            "--health-interval",
            "100ms",
            bb,
            "sh",
            "-c",
            script,
        )
        assert done.stdout == "seen\n"
        until(lambda: at_rest(store_root))

    def test_a_paused_one_is_not_asked(self, lamella: Lamella, begin: Begin) -> None:
        begin("--health-cmd", "true", "--health-interval", "100ms")
        until(lambda: self.health(lamella)["Status"] == "healthy")
        lamella("pause", "web")
        time.sleep(0.5)
        before = self.health(lamella)
        time.sleep(0.5)
        assert self.health(lamella) == before
        lamella("unpause", "web")
        until(lambda: self.health(lamella) != before)

    def test_a_new_run_begins_anew(self, lamella: Lamella, begin: Begin) -> None:
        directory = begin("--health-cmd", "test ! -e /slow || sleep 60", "--health-interval", "300ms")
        until(lambda: self.health(lamella)["Status"] == "healthy")
        lamella("exec", "web", "touch", "/slow")
        lamella("stop", "-t", "0", "web")
        assert not (directory / "supervised").exists()
        lamella("start", "web")
        found = self.health(lamella)
        assert (found["Status"], found["FailingStreak"]) == ("starting", 0) and found["Log"]

    def test_a_killed_supervisor_is_replaced_and_remembers(
        self, lamella: Lamella, begin: Begin, store_root: Path
    ) -> None:
        begin("--restart", "always", "--health-cmd", "exit 1", "--health-interval", "200ms", "--health-retries", "2")
        until(lambda: self.health(lamella)["Status"] == "unhealthy")
        os.kill(supervisors(store_root)[0], signal.SIGKILL)
        until(lambda: not supervisors(store_root))
        streak = self.health(lamella)["FailingStreak"]  # any command: this one has replaced it
        until(lambda: self.health(lamella)["FailingStreak"] > streak)
        assert len(supervisors(store_root)) == 1

    def test_when_its_keeper_is_killed_in_a_check_all_of_it_ends(
        self, lamella: Lamella, begin: Begin, store_root: Path
    ) -> None:
        directory = begin("--health-cmd", "touch /asked; sleep 777", "--health-interval", "100ms")
        until(lambda: lamella("exec", "web", "test", "-e", "/asked", check=False).returncode == 0)
        os.kill(read_status(directory).keeper, signal.SIGKILL)
        until(lambda: at_rest(store_root))
        assert lamella("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (137) ")

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--no-healthcheck", "--health-cmd", "true"], "--no-healthcheck conflicts with --health-* options"),
            (["--health-retries", "-1"], "--health-retries cannot be negative"),
            (["--health-interval", "-1s"], "--health-interval cannot be negative"),
            (["--health-timeout", "1us"], "Timeout in Healthcheck cannot be less than 1ms"),
            (["--health-start-period", "soon"], 'invalid argument "soon" for "--health-start-period" flag'),
        ],
    )  # fmt: skip
    def test_what_makes_no_sense(self, lamella: Lamella, bb: str, flags: list[str], said: str) -> None:
        done = lamella("run", *flags, bb, "true", check=False)
        assert done.returncode == 125 and said in done.stderr
        assert lamella("ps", "-aq").stdout == ""
