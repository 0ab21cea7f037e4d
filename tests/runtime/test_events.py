"""`lamella events`: what containers and images go through, told while it happens and afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Lamella, needs
from tests.suites.supervised import until

pytestmark = needs("crun", "conmon")


def actions(lamella: Lamella, *filters: str) -> list[str]:
    words = [word for one in filters for word in ("-f", one)]
    return lamella("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}", *words).stdout.split("\n")[
        :-1
    ]


class TestContainers:
    def test_one_in_the_foreground_is_told_from_create_to_destroy(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "--rm", "--name", "job", "--network", "none", "-l", "a=b", bb, "sh", "-c", "exit 3", check=False)
        assert actions(lamella, "type=container") == ["create", "start", "die", "destroy"]
        line = lamella("events", "--since", "1h", "--until", "0s", "-f", "event=die").stdout
        assert line.endswith("(a=b, execDuration=0, exitCode=3, image=bb, name=job)\n")

    def test_who_sweeps_before_its_starter_has_seen_its_end_tells_it_as_it_was(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
        words = ("run", "--rm", "-i", "--name", "job", "--network", "none", bb, "sh", "-c", "read go; exit 3")
        starter = subprocess.Popen(
            [sys.executable, "-m", "lamella", "--root", store_root, *words], cwd=ROOT, stdin=subprocess.PIPE
        )
        until(lambda: "job" in lamella("ps").stdout, 60)
        starter.send_signal(signal.SIGSTOP)
        assert starter.stdin
        starter.stdin.close()
        until(lambda: "job" not in lamella("ps").stdout, 60)
        starter.send_signal(signal.SIGCONT)
        assert starter.wait(60) == 3
        assert actions(lamella, "type=container") == ["create", "start", "die", "destroy"]
        assert "exitCode=3," in lamella("events", "--since", "1h", "--until", "0s", "-f", "event=die").stdout

    def test_one_in_the_background_dies_once(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sleep", "100")
        lamella("kill", "web")
        lamella("ps", "-a")
        lamella("rm", "web")
        assert actions(lamella, "container=web") == ["create", "start", "kill", "die", "destroy"]
        kill = json.loads(
            lamella("events", "--since", "1h", "--until", "0s", "-f", "event=kill", "--format", "json").stdout
        )
        assert kill["Actor"]["Attributes"]["signal"] == "9" and kill["status"] == "kill" and kill["from"] == "bb"

    def test_stop_tells_the_signal_the_end_and_itself(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sleep", "100")
        lamella("stop", "-t", "0", "web")
        told = actions(lamella, "container=web")
        assert told[:3] == ["create", "start", "kill"] and told[-2:] == ["die", "stop"]

    def test_exec_is_told_with_its_command_and_exit_code(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sleep", "100")
        lamella("exec", "web", "sh", "-c", "exit 4", check=False)
        assert actions(lamella, "event=exec_create", "event=exec_start", "event=exec_die") == [
            "exec_create: sh -c exit 4", "exec_start: sh -c exit 4", "exec_die",
        ]  # fmt: skip

    def test_who_follows_sees_it_at_once(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        words = [
            sys.executable,
            "-m",
            "lamella",
            "--root",
            store_root,
            "events",
            "-f",
            "event=start",
            "-f",
            "event=die",
        ]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True, env=env) as listener:
            try:
                assert listener.stdout is not None
                for _ in range(3):  # the first may come before it listens
                    lamella("run", "--rm", "--network", "none", bb, "true")
                lines = [listener.stdout.readline() for _ in range(2)]
            finally:
                listener.kill()
        assert all(" container " in line for line in lines)


class TestImages:
    def test_tags_and_removals_are_told(self, lamella: Lamella, bb: str) -> None:
        lamella("tag", bb, "other:1")
        lamella("rmi", "other:1")
        lamella("rmi", bb)
        assert actions(lamella, "type=image") == ["tag", "tag", "untag", "untag", "delete"]

    def test_archives_are_told(self, lamella: Lamella, bb: str, tmp_path: Path) -> None:
        lamella("save", "-o", tmp_path / "bb.tar", bb)
        lamella("load", "-i", tmp_path / "bb.tar")
        lamella("image", "prune", "-f")
        assert actions(lamella, "event=save", "event=load", "event=prune") == ["save", "load", "prune"]

    def test_the_registry_is_told(self, lamella: Lamella, bb: str, registry: str) -> None:
        name = f"{registry}/bb:1"
        lamella("tag", bb, name)
        lamella("push", name)
        lamella("pull", name)
        assert actions(lamella, "event=push", "event=pull") == ["push", "pull"]


@pytest.mark.parametrize("words", [["type"], ["colour=red"]])
def test_an_unknown_filter_is_refused(lamella: Lamella, bb: str, words: list[str]) -> None:
    done = lamella("events", "--until", "0s", "-f", *words, check=False)
    assert done.returncode == 1 and "invalid filter" in done.stderr
