"""What every runtime must do for a container in the foreground. A test class inherits this and names its runtime."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conftest import ROOT, Lamella

DEFAULT_CAPABILITIES = 0xA80425FB


class RuntimeSuite:
    """What every runtime does."""

    name: ClassVar[str]

    @pytest.fixture
    def run(self, lamella: Lamella, bb: str) -> Callable[..., Any]:
        """`run --rm --network none OPTIONS bb COMMAND` by this runtime."""

        def start(*args: object, check: bool = True, **options: object) -> Any:
            return lamella("run", "--rm", "--runtime", self.name, "--network", "none", *args, check=check, **options)

        return start

    def test_streams_and_exit_code(self, run: Lamella) -> None:
        done = run("bb", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
        assert run("-i", "bb", "cat", input="typed").stdout == "typed"

    def test_what_kills_it_is_told(self, run: Lamella) -> None:
        assert run("bb", "sh", "-c", "sh -c 'kill -9 $$'; exit $?", check=False).returncode == 137

    @pytest.mark.parametrize(("command", "code"), [("nonesuch", 127), ("/etc/passwd", 126)])
    def test_what_cannot_start(self, run: Lamella, command: str, code: int) -> None:
        assert run("bb", command, check=False).returncode == code

    def test_user_directory_environment_and_name(self, run: Lamella) -> None:
        script = "id -u; id -g; id -G; pwd; echo $A; hostname; umask"
        done = run("-u", "web", "-w", "/deep/er", "-e", "A=1", "-h", "box", "bb", "sh", "-c", script)
        assert done.stdout.split() == ["1000", "1001", "1001", "50", "/deep/er", "1", "box", "0022"]

    def test_a_file_that_others_write_to_is_not_overwritten(
        self, lamella: Lamella, bb: str, store_root: Path, tmp_path: Path
    ) -> None:
        with (tmp_path / "out").open("wb") as file:
            for word in ("one", "two"):
                subprocess.run(
                    [sys.executable, "-m", "lamella", "--root", store_root, "run", "--rm", "--runtime", self.name,
                     "--network", "none", bb, "echo", word], stdout=file, cwd=ROOT, check=True,
                )  # fmt: skip
        assert (tmp_path / "out").read_text() == "one\ntwo\n"

    def test_it_is_process_1_of_its_own(self, run: Lamella) -> None:
        assert run("bb", "sh", "-c", "echo $$; ls -d /proc/[0-9]* | wc -l").stdout.split()[0] == "1"

    def test_what_is_hidden_and_what_is_read_only(self, run: Lamella) -> None:
        script = "cat /proc/keys /proc/kcore | head -c 9; (exec 3>>/proc/sys/kernel/core_pattern) || echo ro; touch /sys/x || echo ro; touch /x && echo rw"
        assert run("bb", "sh", "-c", script, check=False).stdout.split() == ["ro", "ro", "rw"]
        assert run("--read-only", "bb", "sh", "-c", "touch /x || echo ro").stdout == "ro\n"

    def test_mounts(self, run: Lamella, tmp_path: Path) -> None:
        (tmp_path / "in").write_text("host")
        script = "cat /v/in; touch /v/x || echo ro; touch /t/x && df -m /t /dev/shm | awk '{print $2}'"
        done = run("-v", f"{tmp_path}:/v:ro", "--tmpfs", "/t:size=3m", "--shm-size", "5m", "bb", "sh", "-c", script)
        assert done.stdout.split() == ["hostro", "1M-blocks", "3", "5"]

    def test_devices(self, run: Lamella) -> None:
        script = "head -c 2 /dev/zero | wc -c; mknod /disk b 7 0; (exec 3</disk) || echo no"
        assert run("bb", "sh", "-c", script, check=False).stdout.split() == ["2", "no"]

    def test_limits_of_each_process(self, run: Lamella) -> None:
        done = run("--ulimit", "nofile=64:128", "bb", "sh", "-c", "ulimit -Sn; ulimit -Hn")
        assert done.stdout.split() == ["64", "128"]

    def test_signals_are_passed_on(self, store_root: Path, bb: str) -> None:
        words = ["run", "--rm", "--runtime", self.name, "--network", "none", bb, "sh", "-c",
                 "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done"]  # fmt: skip
        env = {**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-m", "lamella", *words], stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT
        )
        assert process.stdout and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert (process.communicate(timeout=20)[0], process.returncode) == ("got\n", 5)

    def test_nothing_is_left(self, run: Lamella, store_root: Path) -> None:
        run("bb", "true")
        time.sleep(0.05)
        assert str(store_root) not in Path("/proc/self/mounts").read_text()
        assert not os.listdir(store_root / "containers") and not os.listdir(store_root / "snapshots")


class HostKernelSuite(RuntimeSuite):
    """And what a container sees of itself in the host's kernel: one with another has its own view of that."""

    def test_namespaces_are_its_own(self, run: Lamella) -> None:
        script = "for n in mnt net uts ipc pid; do readlink /proc/self/ns/$n; done"
        ours = {os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "net", "uts", "ipc", "pid")}
        seen = run("bb", "sh", "-c", script).stdout.split()
        assert len(seen) == 5 and not ours & set(seen)

    def test_capabilities(self, run: Lamella) -> None:
        def held(*flags: str) -> tuple[int, int]:
            lines = run(*flags, "bb", "grep", "-E", "CapEff|CapBnd", "/proc/self/status").stdout.split()
            return int(lines[1], 16), int(lines[3], 16)

        assert held() == (DEFAULT_CAPABILITIES, DEFAULT_CAPABILITIES)
        assert held("--cap-drop", "all", "--cap-add", "chown") == (1, 1)
        assert held("-u", "web") == (0, DEFAULT_CAPABILITIES)

    def test_system_calls_are_filtered(self, run: Lamella) -> None:
        assert run("bb", "grep", "Seccomp:", "/proc/self/status").stdout.split()[1] == "2"
        assert (
            run("--security-opt", "seccomp=unconfined", "bb", "grep", "Seccomp:", "/proc/self/status").stdout.split()[1]
            == "0"
        )

    def test_no_new_privileges(self, run: Lamella) -> None:
        done = run("--security-opt", "no-new-privileges", "bb", "grep", "NoNewPrivs", "/proc/self/status")
        assert done.stdout.split()[1] == "1"

    def test_kernel_parameters(self, run: Lamella) -> None:
        script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_unprivileged_port_start"
        assert run("--sysctl", "net.ipv4.ip_forward=1", "bb", "sh", "-c", script).stdout.split() == ["1", "0"]
