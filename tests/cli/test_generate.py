"""`lamella generate systemd`: the text of units, what systemd says of them, and how it is told which process to watch."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from cli.unit import Unit, anew, command, quoted
from tests.conftest import Lamella, needs
from tests.suites.supervised import processes, until

STARTED = """\
[Unit]
Description=lamella container web
Wants=network-online.target
After=network-online.target
RequiresMountsFor=/var/lib/lamella

[Service]
Type=notify
NotifyAccess=all
Environment=LAMELLA_SYSTEMD_UNIT=%n
Restart=on-failure
TimeoutStopSec=70
KillMode=mixed
Delegate=yes
ExecStart=/usr/bin/lamella start web
ExecStop=/usr/bin/lamella stop -t 10 web
ExecStopPost=-/usr/bin/lamella stop -t 10 web

[Install]
WantedBy=multi-user.target default.target
"""


def test_the_unit_of_a_container() -> None:
    unit = Unit(
        "lamella container web",
        "/var/lib/lamella",
        ["/usr/bin/lamella", "start", "web"],
        ["/usr/bin/lamella", "stop", "-t", "10", "web"],
    )
    assert unit.text() == STARTED


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("plain", "plain"), ("", '""'), ("a b", '"a b"'), ('say "hi"', '"say \\"hi\\""'), ("100%", "100%%"), ("a\nb", '"a\\nb"'),
        ("back\\slash", '"back\\\\slash"'), ("it's", '"it\'s"'), ("a;b", '"a;b"'),
    ],
)  # fmt: skip
def test_words_are_quoted(word: str, text: str) -> None:
    assert quoted(word) == text


def test_nothing_in_a_command_is_expanded() -> None:
    assert command(["run", "$HOME", "%n"]) == "run $$HOME %%n"


@pytest.mark.parametrize(
    ("words", "flags", "rest"),
    [
        ("-d --name web bb sleep 5", [], ["bb", "sleep", "5"]),
        ("-itd -e A=1 --restart=always --rm bb", ["-i", "-t", "-e", "A=1"], ["bb"]),
        ("-dp 80:80 --cidfile x -eB=2 -v /a:/b bb -d --name x", ["-p", "80:80", "-e", "B=2", "-v", "/a:/b"], ["bb", "-d", "--name", "x"]),
        ("--read-only --network none bb", ["--read-only", "--network", "none"], ["bb"]),
    ],
)  # fmt: skip
def test_a_command_is_given_anew(words: str, flags: list[str], rest: list[str]) -> None:
    assert anew(words.split(), ["-d", "-i", "-t", "--rm", "--read-only", "--detach"]) == (flags, rest)


@needs("crun", "conmon")
class TestUnits:
    @pytest.fixture
    def web(self, lamella: Lamella, base: str, store_root: Path) -> str:
        lamella(
            "create",
            "--name",
            "web",
            "--network",
            "none",
            "-e",
            "A=b $c 5%",
            "--stop-timeout",
            "3",
            base,
            "sh",
            "-c",
            'echo "$A"; sleep 1000',
        )
        return "web"

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
    @pytest.mark.parametrize(
        "flags", [[], ["--new"], ["--name"], ["--new", "--name", "--restart-policy", "always", "-t", "-1"]]
    )
    def test_systemd_finds_nothing_wrong(self, lamella: Lamella, web: str, tmp_path: Path, flags: list[str]) -> None:
        path = Path(lamella("generate", "systemd", "--files", *flags, web, cwd=tmp_path).stdout.strip())
        assert path.parent == tmp_path and path.name.startswith("container-")
        text = (
            path.read_text()
            .replace("=-/", "=-/bin/true /")
            .replace("ExecStart=/", "ExecStart=/bin/true /")
            .replace("ExecStop=/", "ExecStop=/bin/true /")
        )
        path.write_text(
            text.replace("WorkingDirectory=-/bin/true ", "WorkingDirectory=-")
        )  # lamella need not be installed
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def test_what_a_new_one_says_runs_the_same_container(self, lamella: Lamella, web: str, store_root: Path) -> None:
        text = lamella("generate", "systemd", "--new", web).stdout
        line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
        assert line.endswith(
            ' run --name web -d --rm --network none -e "A=b $$c 5%%" --stop-timeout 3 bb sh -c "echo \\"$$A\\"; sleep 1000"'
        )
        assert "TimeoutStopSec=63" in text and "ExecStartPre=-" in text

    def test_systemd_is_told_when_it_runs_and_what_to_watch(
        self, lamella: Lamella, web: str, store_root: Path, tmp_path: Path
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(tmp_path / "notify"))
            sock.settimeout(10)
            unit = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "LAMELLA_SYSTEMD_UNIT": "web.service"}
            for _ in range(2):  # also where it runs already
                lamella("start", web, env=unit)
                told = dict(line.split("=") for line in sock.recv(4096).decode().splitlines())
                assert told["READY"] == "1" and "conmon" in Path(f"/proc/{told['MAINPID']}/cmdline").read_text()
            lamella("stop", "-t", "0", web)
            lamella("start", web, env={**unit, "LAMELLA_SYSTEMD_UNIT": ""})  # a service that calls us for its own ends
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(4096)
        lamella("rm", "-f", web)

    def test_all_is_what_a_machine_brings_up(self, lamella: Lamella, base: str, store_root: Path) -> None:
        assert " start --all\n" in lamella("generate", "systemd", "--all").stdout
        for name, policy in (("always", "always"), ("unless", "unless-stopped"), ("none", "no")):
            lamella("run", "-d", "--name", name, "--network", "none", "--restart", policy, base, "sleep", "1000")
        lamella("stop", "-t", "0", "always", "unless", "none")
        assert lamella("start", "--all").stdout == "always\n"
        assert lamella("ps", "--format", "{{.Names}}").stdout == "always\n"
        lamella("rm", "-f", "always", "unless", "none")
        until(lambda: not processes(store_root))

    def test_what_makes_no_sense(self, lamella: Lamella, web: str) -> None:
        for words in (
            ["generate", "systemd"],
            ["generate", "systemd", "--all", web],
            ["start"],
            ["start", "--all", web],
        ):
            assert lamella(*words, check=False).returncode == 2
        assert lamella("generate", "systemd", "nosuch", check=False).returncode == 1


def test_the_environment_of_other_services_is_left_alone() -> None:
    from cli.notify import tell_systemd

    tell_systemd({"NOTIFY_SOCKET": "/nonexistent", "LAMELLA_SYSTEMD_UNIT": "x"}, os.getpid())  # nothing happens
