"""Joining and leaving containers: streams, detach keys, signals, and what is said where that cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import InvalidInput
from runtime.detach_keys import Watch, parse
from tests.conftest import ROOT, Lamella, needs
from tests.suites.terminal import Terminal

pytestmark = needs("crun", "conmon")
LEAVE = "\x10\x11"


def state(lamella: Lamella, name: str) -> str:
    return lamella("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout.strip()


def ended(lamella: Lamella, name: str) -> str:
    end = time.monotonic() + 10
    while state(lamella, name).startswith("running") and time.monotonic() < end:
        time.sleep(0.05)
    return state(lamella, name)


class TestKeys:
    @pytest.mark.parametrize(
        ("text", "keys"),
        [("", b"\x10\x11"), ("ctrl-p,ctrl-q", b"\x10\x11"), ("ctrl-x,x", b"\x18x"), ("a", b"a"), ("ctrl-@,ctrl-[", b"\x00\x1b"),
         ("ctrl-\\,ctrl-]", b"\x1c\x1d"), ("CTRL-A", b"\x01"), ("DEL", b"\x7f")],
    )  # fmt: skip
    def test_they_are_written_as_docker_has_them(self, text: str, keys: bytes) -> None:
        assert parse(text) == keys

    @pytest.mark.parametrize("text", ["ctrl-", "ab", "ctrl-1", "ctrl-p,,ctrl-q", "shift-a"])
    def test_others_are_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="Unknown character"):
            parse(text)

    def test_they_are_found_however_they_come(self) -> None:
        pieces = [b"ls\x10", b"\x10", b"x\x10", b"\x11rest"]
        watch = Watch(b"\x10\x11")
        assert [watch.take(piece) for piece in pieces] == [
            (b"ls", False),
            (b"\x10", False),
            (b"\x10x", False),
            (b"", True),
        ]
        watch = Watch(b"aab")
        assert [watch.take(piece) for piece in (b"aa", b"a", b"b")] == [(b"", False), (b"a", False), (b"", True)]


class TestLeaving:
    def test_run_is_left_by_the_keys_and_goes_on(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        with Terminal(store_root, "run", "-it", "--name", "web", "--network", "none", bb, "sh") as terminal:
            terminal.started()
            terminal.type("echo $((40+2))\n")
            terminal.expect("42")
            terminal.type(LEAVE)
            assert terminal.exit_code() == 0
        assert state(lamella, "web") == "running 0"

    def test_run_rm_is_left_too_and_removed_when_it_ends(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        with Terminal(store_root, "run", "--rm", "-it", "--name", "web", "--network", "none", bb, "sh") as terminal:
            terminal.started()
            terminal.type(LEAVE)
            assert terminal.exit_code() == 0
        assert state(lamella, "web") == "running 0"
        lamella("kill", "web")
        end = time.monotonic() + 10
        while lamella("ps", "-aq").stdout and time.monotonic() < end:
            time.sleep(0.05)
        assert lamella("ps", "-aq").stdout == ""

    def test_other_keys_and_the_configuration(
        self, lamella: Lamella, bb: str, store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lamella("run", "-dit", "--name", "web", "--network", "none", bb, "sh")
        with Terminal(store_root, "attach", "--detach-keys", "ctrl-x,x", "web") as terminal:
            terminal.started()
            terminal.type("\x18x")
            assert terminal.exit_code() == 0
        (tmp_path / "config.json").write_text('{"detachKeys": "ctrl-e,e"}')
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        with Terminal(store_root, "attach", "web") as terminal:
            terminal.started()
            terminal.type(LEAVE + "\x05e")
            assert terminal.exit_code() == 0
        assert state(lamella, "web") == "running 0"
        assert "Unknown character" in lamella("attach", "--detach-keys", "nope", "web", check=False).stderr

    def test_start_is_left_and_its_end_is_known_without_anybody(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
        lamella("create", "-it", "--name", "web", "--network", "none", bb, "sh", "-c", "read x; sleep 0.3; exit 7")
        with Terminal(store_root, "start", "-ai", "web") as terminal:
            terminal.started()
            terminal.type("\n" + LEAVE)
            assert terminal.exit_code() == 0
        assert ended(lamella, "web") == "exited 7"
        assert "die" in lamella("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}").stdout

    def test_exec_is_left_and_goes_on(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sleep", "100")
        script = "echo here; while :; do echo x >> /alive; sleep 0.05; done"
        with Terminal(store_root, "exec", "-it", "web", "sh", "-c", script) as terminal:
            terminal.started()
            terminal.expect("here")
            terminal.type(LEAVE)
            assert terminal.exit_code() == 0

        def size() -> int:
            return int(lamella("exec", "web", "stat", "-c", "%s", "/alive").stdout)

        before = size()
        time.sleep(0.5)
        assert size() > before


class TestSignals:
    def spawned(self, store_root: Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lamella", "--root", str(store_root), *words], stdout=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
        )  # fmt: skip

    @pytest.mark.parametrize("first", [["run", "--name", "web"], ["run", "--rm", "--name", "web"]])
    def test_they_are_passed_on(self, lamella: Lamella, bb: str, store_root: Path, first: list[str]) -> None:
        script = "trap 'echo got; exit 9' INT; echo ready; while :; do sleep 0.05; done"
        with self.spawned(store_root, *first, "--network", "none", bb, "sh", "-c", script) as joined:
            assert joined.stdout is not None and joined.stdout.readline() == "ready\n"
            joined.send_signal(signal.SIGINT)
            assert joined.stdout.readline() == "got\n" and joined.wait(10) == 9

    def test_or_not(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        script = "trap 'echo got' INT; echo ready; sleep 1; sleep 100"
        words = ["run", "--rm", "--sig-proxy=false", "--name", "web", "--network", "none", bb, "sh", "-c", script]
        with self.spawned(store_root, *words) as joined:
            assert joined.stdout is not None and joined.stdout.readline() == "ready\n"
            joined.send_signal(signal.SIGINT)
            assert joined.wait(10) == 130
        assert state(lamella, "web") == "running 0" and "got" not in lamella("logs", "web").stdout
        with self.spawned(store_root, "attach", "--sig-proxy=false", "web") as joined:
            time.sleep(1)
            joined.send_signal(signal.SIGTERM)
            joined.wait(10)
        assert state(lamella, "web") == "running 0"


class TestStreams:
    def test_what_is_detached_holds_nobody_s_output(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sleep", "100")
        assert lamella("exec", "-d", "web", "sh", "-c", "echo unheard; sleep 50", timeout=20).stdout == ""
        done = lamella("exec", "-d", "web", "nosuch", check=False)
        assert done.returncode == 127 and "nosuch" in done.stderr

    def test_only_those_named_are_joined(self, lamella: Lamella, bb: str) -> None:
        script = "echo out; echo err >&2; exit 3"
        words = ["--network", "none", bb, "sh", "-c", script]
        done = lamella("run", "--rm", "-a", "stderr", *words, check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("", "err\n", 3)
        done = lamella("run", "--rm", "-a", "STDOUT", *words, check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("out\n", "", 3)

    def test_input_alone_prints_the_id_and_leaves(self, lamella: Lamella, bb: str) -> None:
        done = lamella(
            "run",
            "-i",
            "-a",
            "stdin",
            "--name",
            "web",
            "--network",
            "none",
            bb,
            "sh",
            "-c",
            "cat; sleep 1; exit 5",
            input="given",
        )
        assert lamella("inspect", "-f", "{{.Id}}", "web").stdout == done.stdout
        assert ended(lamella, "web") == "exited 5" and lamella("logs", "web").stdout == "given"

    def test_what_cannot_be_is_said(self, lamella: Lamella, bb: str) -> None:
        done = lamella("run", "-d", "-a", "stdout", bb, "true", check=False)
        assert done.returncode == 125 and "Conflicting options: -a and -d" in done.stderr
        done = lamella("run", "-a", "nope", bb, "true", check=False)
        assert done.returncode == 125 and "valid streams are STDIN, STDOUT and STDERR" in done.stderr
        lamella("create", "--name", "idle", bb)
        done = lamella("attach", "idle", check=False)
        assert done.returncode == 1 and "You cannot attach to a stopped container, start it first" in done.stderr


class TestExtras:
    def test_groups_and_a_domain_name(self, lamella: Lamella, bb: str) -> None:
        words = [
            "--network",
            "none",
            "--group-add",
            "staff",
            "--group-add",
            "777",
            "--domainname",
            "corp.example",
            "-u",
            "1000",
        ]
        lamella(
            "run", "-d", "--name", "web", *words, bb, "sh", "-c", "id -G; cat /proc/sys/kernel/domainname; sleep 100"
        )
        end = time.monotonic() + 10
        while "corp" not in lamella("logs", "web").stdout and time.monotonic() < end:
            time.sleep(0.05)
        assert lamella("logs", "web").stdout == "1001 50 777\ncorp.example\n"
        assert lamella("exec", "web", "id", "-G").stdout == "1001 50 777\n"
        assert (
            lamella("inspect", "-f", "{{.Config.Domainname}} {{.HostConfig.GroupAdd}}", "web").stdout
            == "corp.example [staff 777]\n"
        )
        done = lamella("run", "--rm", "--network", "none", "--group-add", "nosuch", bb, "true", check=False)
        assert done.returncode == 125 and "unable to find group nosuch" in done.stderr

    def test_annotations_reach_the_runtime(self, lamella: Lamella, bb: str, tmp_path: Path) -> None:
        wrapper = tmp_path / "crun"
        copy = f'while [ $# -gt 0 ]; do [ "$1" != --bundle ] || cp "$2/config.json" {tmp_path}; shift; done'
        wrapper.write_text(f'#!/bin/sh\n({copy})\nexec crun "$@"\n')
        wrapper.chmod(0o755)
        words = ["--annotation", "org.example.a=b=c", "--annotation", "bare", "--runtime", wrapper, "--network", "none"]
        lamella("create", "--name", "web", *words, bb, "true")
        lamella("start", "-a", "web")
        annotations = json.loads((tmp_path / "config.json").read_text())["annotations"]
        assert annotations["org.example.a"] == "b=c" and annotations["bare"] == ""
        shown = lamella("inspect", "-f", "{{json .HostConfig.Annotations}}", "web").stdout
        assert json.loads(shown) == {"org.example.a": "b=c", "bare": ""}

    def test_another_platform_is_refused(self, lamella: Lamella, bb: str) -> None:
        done = lamella("run", "--rm", "--platform", "linux/s390x", bb, "true", check=False)
        assert done.returncode == 125 and "not linux/s390x" in done.stderr


class TestLogs:
    COUNT = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo done; sleep 100"

    def test_a_log_is_cut_at_its_limit(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella(
            "run", "-d", "--name", "web", "--log-opt", "max-size=20k", "--network", "none", bb, "sh", "-c", self.COUNT
        )
        end = time.monotonic() + 15
        while "done" not in lamella("logs", "--tail", "1", "web").stdout and time.monotonic() < end:
            time.sleep(0.05)
        (log,) = store_root.glob("containers/*/container.log")
        assert log.stat().st_size <= 20 << 10 and lamella("logs", "web").stdout.endswith("line 2999\ndone\n")

    def test_whoever_follows_sees_every_line_across_the_limit(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
        script = (
            "sleep 1; i=0; while [ $i -lt 600 ]; do echo line $i; i=$((i+1)); [ $((i%20)) -ne 0 ] || sleep 0.02; done"
        )
        lamella("run", "-d", "--name", "web", "--log-opt", "max-size=10k", "--network", "none", bb, "sh", "-c", script)
        assert lamella("logs", "-f", "web").stdout == "".join(f"line {number}\n" for number in range(600))

    def test_following_goes_on_while_it_is_started_again(self, lamella: Lamella, bb: str) -> None:
        words = ["--restart", "on-failure:2", "--network", "none"]
        lamella("run", "-d", "--name", "web", *words, bb, "sh", "-c", "sleep 0.5; echo said; exit 1")
        assert lamella("logs", "-f", "web", timeout=60).stdout == "said\n" * 3

    def test_there_is_a_limit_where_none_is_asked_for(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sleep", "100")
        keeper = lamella("inspect", "-f", "{{.State.Pid}}", "web").stdout.strip()
        parent = next(
            line.split()[1]
            for line in Path(f"/proc/{keeper}/status").read_text().splitlines()
            if line.startswith("PPid")
        )
        words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
        assert words[words.index(b"--log-size-max") + 1] == b"104857600"

    def test_none_is_kept_on_demand(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        done = lamella("run", "--name", "web", "--log-driver", "none", "--network", "none", bb, "echo", "seen")
        assert done.stdout == "seen\n" and not list(store_root.glob("containers/*/container.log"))
        done = lamella("logs", "web", check=False)
        assert done.returncode == 1 and "configured logging driver does not support reading" in done.stderr

    def test_details_show_what_was_asked_for(self, lamella: Lamella, bb: str) -> None:
        words = [
            "--log-opt",
            "labels=tier,none",
            "--log-opt",
            "env=MODE",
            "-l",
            "tier=front",
            "-e",
            "MODE=on",
            "--network",
            "none",
        ]
        lamella("run", "--name", "web", *words, bb, "echo", "said")
        assert lamella("logs", "--details", "web").stdout == "MODE=on,tier=front said\n"
        lamella("run", "--name", "plain", "--network", "none", bb, "echo", "said")
        assert lamella("logs", "--details", "plain").stdout == " said\n"

    @pytest.mark.parametrize(
        ("words", "text"),
        [(["--log-driver", "syslog"], "no log driver named 'syslog'"), (["--log-opt", "foo=1"], "unknown log opt 'foo'"),
         (["--log-opt", "max-size=x"], "invalid size"), (["--log-opt", "max-file=0", "--log-opt", "max-size=1m"], "max-file cannot be less than 1"),
         (["--log-driver", "none", "--log-opt", "max-size=1m"], "unknown log opt 'max-size' for none")],
    )  # fmt: skip
    def test_what_cannot_be_is_said(self, lamella: Lamella, bb: str, words: list[str], text: str) -> None:
        done = lamella("create", *words, bb, check=False)
        assert done.returncode == 125 and text in done.stderr

    def test_several_files_become_one_and_that_is_said(self, lamella: Lamella, bb: str) -> None:
        said = lamella("create", "--log-opt", "max-size=10k", "--log-opt", "max-file=3", bb).stderr
        assert said == "WARNING: max-file=3 keeps one file of 3 times the size\n"
        assert lamella("create", "--log-opt", "max-size=10k", "--log-opt", "max-file=1", bb).stderr == ""

    def test_following_ends_at_the_instant_named(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "web", "--network", "none", bb, "sh", "-c", "echo said; sleep 100")
        time.sleep(0.3)
        assert lamella("logs", "-f", "--until", "0s", "web", timeout=20).stdout == "said\n"
