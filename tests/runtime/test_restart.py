"""Restart policies: who starts a container again, how soon, and what ends that."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from pathlib import Path

import pytest

from core.clock import parse_instant
from core.errors import InvalidInput
from runtime.restart import LONGEST_DELAY, Restart, Restarts, parse, read_restarts
from runtime.status import read_status
from tests.conftest import Lamella, needs
from tests.suites.supervised import at_rest, processes, supervisors, until

ONCE = "echo run; exit 3"


class TestPolicy:
    @pytest.mark.parametrize(
        ("text", "policy"),
        [
            ("", None), ("no", None), ("always", Restart("always")), ("unless-stopped", Restart("unless-stopped")),
            ("on-failure", Restart("on-failure")), ("on-failure:3", Restart("on-failure", 3)), ("always:0", Restart("always")),
        ],
    )  # fmt: skip
    def test_is_read(self, text: str, policy: Restart | None) -> None:
        assert parse(text) == policy

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("sometimes", "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"),
            (":3", "invalid restart policy format: no policy provided before colon"),
            ("on-failure:x", "invalid restart policy format: maximum retry count must be an integer"),
            ("always:3", "invalid restart policy: maximum retry count can only be used with 'on-failure'"),
            ("on-failure:-1", "invalid restart policy: maximum retry count cannot be negative"),
        ],
    )  # fmt: skip
    def test_makes_no_sense(self, text: str, said: str) -> None:
        with pytest.raises(InvalidInput) as error:
            parse(text)
        assert error.value.message == said

    def test_wants_failures_as_often_as_it_says(self) -> None:
        three = Restart("on-failure", 3)
        assert [three.wants(1, 0), three.wants(1, 2), three.wants(1, 3), three.wants(0, 0)] == [
            True,
            True,
            False,
            False,
        ]
        assert Restart("always").wants(0, 99) and Restart("unless-stopped").wants(137, 5)

    def test_pauses_double_up_to_a_minute_and_begin_again_after_a_long_run(self) -> None:
        known, delays = Restarts(), []
        for _ in range(12):
            known = known.next(ran=9.9)
            delays.append(known.delay)
        assert delays == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]
        assert known.next(ran=10.0) == Restarts(13, 100)


@pytest.fixture
def paused(lamella: Lamella, bb: str, store_root: Path) -> Path:
    """The directory of a container `late` that has ended with 3, and waits a minute to be started again."""
    script = "until test -e /go; do sleep 0.05; done; exit 3"
    lamella("run", "-d", "--name", "late", "--network", "none", "--restart", "always", bb, "sh", "-c", script)
    directory = next((store_root / "containers").iterdir())
    Restarts(9, LONGEST_DELAY).write(directory)
    lamella("exec", "late", "touch", "/go")
    until(lambda: read_status(directory).state == "restarting")
    return directory


@needs("crun", "conmon")
class TestRestarts:
    def test_always_means_always_and_the_pauses_are_kept(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        id = lamella(
            "run", "-d", "--name", "again", "--network", "none", "--restart", "always", bb, "sh", "-c", ONCE
        ).stdout.strip()
        directory = store_root / "containers" / id
        until(lambda: read_restarts(directory).count >= 4)
        instants = [parse_instant(line.split()[0]) for line in lamella("logs", "-t", "again").stdout.splitlines()]
        pauses = [(b - a) / 1e9 for a, b in itertools.pairwise(instants)]
        assert all(pause >= wanted for pause, wanted in zip(pauses, (0.1, 0.2, 0.4), strict=False)) and len(pauses) >= 3
        assert (
            lamella("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}} {{gt .RestartCount 3}}", "again").stdout
            == "always true\n"
        )

    def test_one_that_waits_is_restarting(self, lamella: Lamella, paused: Path, store_root: Path) -> None:
        assert lamella("ps", "--format", "{{.State}} {{.Status}}").stdout.startswith("restarting Restarting (3) ")
        state = json.loads(lamella("inspect", "-f", "{{json .State}}", "late").stdout)
        assert [state[name] for name in ("Status", "Running", "Restarting", "ExitCode")] == [
            "restarting",
            True,
            True,
            3,
        ]
        refused = lamella("exec", "late", "true", check=False).stderr
        assert "is restarting, wait until the container is running" in refused
        refused = lamella("rm", "late", check=False).stderr
        assert "container is restarting: stop the container before removing or force remove" in refused
        refused = lamella("start", "-a", "late", check=False).stderr
        assert "You cannot attach to a restarting container, wait until it is running" in refused
        assert lamella("start", "late").stdout == "late\n" and read_status(paused).state == "restarting"

    @pytest.mark.parametrize("words", [("stop",), ("kill",), ("kill", "-s", "TERM")])
    def test_one_that_waits_can_be_stopped(
        self, lamella: Lamella, paused: Path, store_root: Path, words: tuple[str, ...]
    ) -> None:
        lamella(*words, "late")
        until(lambda: at_rest(store_root))
        assert lamella("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (3) ")

    def test_one_that_waits_can_be_removed(self, lamella: Lamella, paused: Path, store_root: Path) -> None:
        lamella("rm", "-f", "late")
        until(lambda: at_rest(store_root))
        assert not list((store_root / "containers").iterdir()) and not list((store_root / "snapshots").iterdir())

    def test_a_supervisor_killed_in_a_pause_counts_nothing_twice(
        self, lamella: Lamella, paused: Path, store_root: Path
    ) -> None:
        before = read_restarts(paused)
        os.kill(supervisors(store_root)[0], signal.SIGKILL)
        until(lambda: read_status(paused).state == "exited")
        lamella("ps")
        assert read_status(paused).state == "restarting" and len(supervisors(store_root)) == 1
        time.sleep(0.3)
        assert read_restarts(paused) == before

    def test_on_failure_gives_up_where_it_is_told_to(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella("run", "-d", "--name", "two", "--network", "none", "--restart", "on-failure:2", bb, "sh", "-c", ONCE)
        until(lambda: at_rest(store_root))
        assert lamella("logs", "two").stdout == "run\n" * 3
        shown = lamella("inspect", "-f", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", "two").stdout
        assert shown == "2 exited 3\n"

    def test_on_failure_leaves_success_alone(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella("run", "-d", "--name", "good", "--network", "none", "--restart", "on-failure", bb, "echo", "run")
        until(lambda: at_rest(store_root))
        assert lamella("logs", "good").stdout == "run\n"

    @pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
    def test_stopped_by_hand_is_stopped(self, lamella: Lamella, bb: str, store_root: Path, policy: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", "--restart", policy, bb, "sleep", "100")
        assert len(supervisors(store_root)) == 1
        lamella("stop", "-t", "0", "web")
        until(lambda: at_rest(store_root))
        time.sleep(0.5)
        assert lamella("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (137) ")

    def test_killed_by_hand_is_killed(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done"
        lamella("run", "-d", "--name", "web", "--network", "none", "--restart", "always", bb, "sh", "-c", script)
        until(lambda: lamella("logs", "web").stdout)
        lamella("kill", "-s", "TERM", "web")
        until(lambda: at_rest(store_root))
        assert lamella("inspect", "-f", "{{.State.ExitCode}} {{.RestartCount}}", "web").stdout == "4 0\n"

    def test_started_by_hand_it_begins_to_count_anew(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella("run", "-d", "--name", "two", "--network", "none", "--restart", "on-failure:1", bb, "sh", "-c", ONCE)
        until(lambda: at_rest(store_root))
        lamella("start", "two")
        until(lambda: at_rest(store_root))
        assert lamella("logs", "two").stdout == "run\n" * 4
        assert lamella("inspect", "-f", "{{.RestartCount}}", "two").stdout == "1\n"

    def test_a_first_start_that_fails_is_not_repeated(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        done = lamella("run", "-d", "--name", "bad", "--restart", "always", bb, "nonesuch", check=False)
        assert done.returncode == 127
        until(lambda: at_rest(store_root))
        assert not list((store_root / "containers").glob("*/supervised"))

    def test_a_restart_that_fails_is_tried_again(
        self, lamella: Lamella, bb: str, store_root: Path, tmp_path: Path
    ) -> None:
        source = tmp_path / "disk"
        source.mkdir()
        script = "echo run; until test -e /disk/gone; do sleep 0.05; done; exit 3"
        lamella(
            "run",
            "-d",
            "--name",
            "web",
            "--network",
            "none",
            "--restart",
            "always",
            "-v",
            f"{source}:/disk",
            bb,
            "sh",
            "-c",
            script,
        )
        directory = next((store_root / "containers").iterdir())
        source.rename(tmp_path / "away")
        (tmp_path / "away" / "gone").touch()
        until(lambda: read_restarts(directory).count >= 3)
        assert lamella("logs", "web").stdout == "run\n"
        (tmp_path / "away" / "gone").unlink()
        (tmp_path / "away").rename(source)
        until(lambda: lamella("logs", "web").stdout == "run\nrun\n", 30)
        assert lamella("ps", "--format", "{{.State}}").stdout == "running\n"

    def test_on_a_network_it_comes_back(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella("network", "create", "net")
        lamella(
            "run",
            "-d",
            "--name",
            "web",
            "--network",
            "net",
            "--restart",
            "always",
            bb,
            "sh",
            "-c",
            "ip addr show eth0 | grep -c inet; sleep 100",
        )
        directory = next((store_root / "containers").iterdir())
        until(lambda: lamella("logs", "web").stdout)
        os.kill(read_status(directory).keeper, signal.SIGKILL)
        until(lambda: len(lamella("logs", "web").stdout.split()) == 2)
        assert set(lamella("logs", "web").stdout.split()) in ({"1"}, {"2"})
        lamella("rm", "-f", "web")
        lamella("network", "rm", "net")

    def test_with_rm_and_a_check_both_go(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella(
            "run",
            "-d",
            "--rm",
            "--network",
            "none",
            "--health-cmd",
            "true",
            "--health-interval",
            "100ms",
            bb,
            "sleep",
            "1",
        )
        assert supervisors(store_root)
        until(lambda: at_rest(store_root) and not list((store_root / "containers").iterdir()))

    def test_attached_it_goes_on_behind(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        done = lamella(
            "run", "--name", "fore", "--network", "none", "--restart", "always", bb, "sh", "-c", ONCE, check=False
        )
        assert (done.returncode, done.stdout) == (3, "run\n")
        until(lambda: lamella("logs", "fore").stdout.count("run") >= 3)
        lamella("rm", "-f", "fore")
        until(lambda: at_rest(store_root))

    def test_wait_returns_with_the_next_end(self, lamella: Lamella, bb: str) -> None:
        script = "test -e /twice && sleep 0.5 && exit 8; touch /twice; exit 7"
        lamella(
            "run", "--name", "twice", "--network", "none", "--restart", "always", bb, "sh", "-c", script, check=False
        )
        assert lamella("wait", "twice").stdout == "8\n"
        lamella("rm", "-f", "twice")

    def test_with_rm_it_contradicts_itself(self, lamella: Lamella, bb: str) -> None:
        done = lamella("run", "--rm", "--restart", "always", bb, "true", check=False)
        assert done.returncode == 125 and "conflicting options: cannot specify both --restart and --rm" in done.stderr
        assert lamella("ps", "-aq").stdout == ""

    def test_events_tell_of_every_end_and_every_start(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella("run", "-d", "--name", "two", "--network", "none", "--restart", "on-failure:1", bb, "sh", "-c", ONCE)
        until(lambda: at_rest(store_root))
        told = lamella(
            "events", "--since", "1m", "--until", "0s", "-f", "type=container", "--format", "{{.Action}}"
        ).stdout.split()
        assert told == ["create", "start", "die", "start", "die"]


@needs("crun", "conmon")
class TestFaults:
    """What is killed, and what the next command makes of it."""

    @pytest.fixture
    def web(self, lamella: Lamella, bb: str, store_root: Path) -> Path:
        """The directory of a container that runs, and is to run always."""
        script = "echo run; sleep 100"
        id = lamella(
            "run", "-d", "--name", "web", "--network", "none", "--restart", "always", bb, "sh", "-c", script
        ).stdout.strip()
        until(lambda: lamella("logs", "web").stdout)
        return store_root / "containers" / id

    def test_a_killed_keeper_is_an_end_like_others(self, lamella: Lamella, web: Path) -> None:
        os.kill(read_status(web).keeper, signal.SIGKILL)
        until(lambda: lamella("logs", "web").stdout == "run\nrun\n")
        assert lamella("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "web").stdout == "running 1\n"
        told = lamella(
            "events", "--since", "1m", "--until", "0s", "-f", "event=die", "--format", "{{.Actor.Attributes.exitCode}}"
        ).stdout
        assert told == "137\n"

    def test_a_killed_supervisor_is_replaced_by_the_next_command(
        self, lamella: Lamella, web: Path, store_root: Path
    ) -> None:
        os.kill(supervisors(store_root)[0], signal.SIGKILL)
        until(lambda: not supervisors(store_root))
        assert " Up " in lamella("ps").stdout
        assert len(supervisors(store_root)) == 1
        lamella("ps")
        assert len(supervisors(store_root)) == 1
        os.kill(read_status(web).keeper, signal.SIGKILL)
        until(lambda: lamella("logs", "web").stdout == "run\nrun\n")

    def test_when_all_are_killed_the_next_command_starts_it_again(
        self, lamella: Lamella, web: Path, store_root: Path
    ) -> None:
        """As after the machine has gone down."""
        os.kill(supervisors(store_root)[0], signal.SIGKILL)
        until(lambda: not supervisors(store_root))
        os.kill(read_status(web).keeper, signal.SIGKILL)
        until(lambda: read_status(web).state == "exited")
        lamella("ps")
        until(lambda: lamella("logs", "web").stdout == "run\nrun\n")

    def test_stopped_without_a_supervisor_it_stays_stopped(self, lamella: Lamella, web: Path, store_root: Path) -> None:
        os.kill(supervisors(store_root)[0], signal.SIGKILL)
        lamella("stop", "-t", "0", "web")
        lamella("ps")
        time.sleep(0.3)
        assert not processes(store_root) and read_status(web).state == "exited"
