"""`lamella run` in the foreground, as a process of its own on real images."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Lamella, needs

pytestmark = needs("crun", "conmon")
MakeImage = Callable[..., str]


@pytest.fixture
def run(lamella: Lamella, bb: str) -> Lamella:
    """`run --rm --network none OPTIONS bb COMMAND`; OPTIONS are separated from COMMAND by "bb"."""

    def start(*args: object, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        words = args if "bb" in args else ("bb", *args)
        return lamella("run", "--rm", "--network", "none", *words, check=check, **options)

    return start


def leftovers(store_root: Path) -> list[str]:
    return os.listdir(store_root / "containers") + os.listdir(store_root / "snapshots")


class TestImagesThatMakeNoSense:
    @pytest.mark.parametrize(
        ("config", "said", "code"),
        [
            ({"working_dir": "/a\0b"}, "the working directory '/a\\x00b' cannot be a path", 125),
            ({"working_dir": "/" + "a/" * 3000}, "cannot be a path", 125),
            ({"volumes": ("/a\0b",)}, "the volume '/a\\x00b' cannot be a path", 125),
            ({"volumes": ("/a/..",)}, "it would hide the whole image", 125),
            ({"env": ("A=" + "x" * 200_000,)}, "argument list too long", 126),
            ({"env": tuple(f"A{n}=" + "x" * 100_000 for n in range(80))}, "argument list too long", 126),
            ({"user": "../../root"}, "unable to find user ../../root", 125),
        ],
    )
    def test_they_are_refused_in_one_clear_line(
        self, lamella: Lamella, make_image: MakeImage, config: dict[str, object], said: str, code: int
    ) -> None:
        make_image("strange", **config)
        done = lamella("run", "--rm", "strange", "true", check=False)
        assert done.returncode == code and said in done.stderr and len(done.stderr.splitlines()) == 2


class TestStreamsAndExitCodes:
    def test_output_goes_where_it_belongs(self, run: Lamella) -> None:
        done = run("sh", "-c", "echo out; echo err >&2")
        assert (done.stdout, done.stderr) == ("out\n", "err\n")

    @pytest.mark.parametrize("flags", [["--rm"], []])
    def test_the_exit_code_is_the_commands(self, lamella: Lamella, bb: str, flags: list[str]) -> None:
        assert lamella("run", *flags, "--network", "none", bb, "sh", "-c", "exit 42", check=False).returncode == 42

    @pytest.mark.parametrize("flags", [["--rm"], []])
    def test_a_killed_command_gives_128_and_the_signal(self, lamella: Lamella, bb: str, flags: list[str]) -> None:
        script = "sh -c 'kill -9 $$'; exit $?"
        assert lamella("run", *flags, "--network", "none", bb, "sh", "-c", script, check=False).returncode == 137

    @pytest.mark.parametrize("flags", [["--rm"], []])
    @pytest.mark.parametrize(
        ("command", "code"), [("nonesuch", 127), ("/no/such", 127), ("/etc", 126), ("/etc/passwd", 126)]
    )
    def test_what_cannot_start_gives_127_or_126_and_one_clear_line(
        self, lamella: Lamella, bb: str, flags: list[str], command: str, code: int
    ) -> None:
        done = lamella("run", *flags, "--network", "none", bb, command, check=False)
        assert done.returncode == code
        assert f'exec: "{command}"' in done.stderr and len(done.stderr.splitlines()) == 2

    @pytest.mark.parametrize("args", [["--no-such-flag", "bb"], ["--network", "moon", "bb"], ["-u", "bob", "bb", "true"],
                                      ["--cap-add", "FLY", "bb", "true"], ["-v", "na/med:/x", "bb", "true"], ["--pull", "never", "nothere"],
                                      ["--stop-signal", "SIGFOO", "bb", "true"], ["--name", "-", "bb", "true"], ["-v", "rel", "bb", "true"]])  # fmt: skip
    def test_lamellas_own_failures_give_125(self, lamella: Lamella, bb: str, args: list[str], store_root: Path) -> None:
        done = lamella("run", "--rm", *args, check=False)
        assert done.returncode == 125 and done.stderr.startswith("lamella: ") and "Traceback" not in done.stderr
        assert not leftovers(store_root)

    def test_stdin_is_read_only_with_i(self, run: Lamella) -> None:
        assert run("cat", input="typed").stdout == ""
        assert run("-i", "bb", "cat", input="typed").stdout == "typed"

    def test_stdin_goes_through_conmon_too(self, lamella: Lamella, bb: str) -> None:
        text = "x" * 100_000 + "\n"
        assert lamella("run", "-i", "--network", "none", bb, "cat", input=text).stdout == text

    def test_nothing_is_left_of_a_container_with_rm(self, run: Lamella, lamella: Lamella, store_root: Path) -> None:
        run("sh", "-c", "echo x > /file")
        assert not leftovers(store_root) and lamella("ps", "-aq").stdout == ""


class TestWhatItGets:
    def test_the_images_config_counts_and_flags_come_over_it(self, lamella: Lamella, make_image: MakeImage) -> None:
        name = make_image(
            "app", entrypoint=("/bin/echo", "in"), cmd=("image",), env=("A=1", "B=2"), working_dir="/srv", user="web"
        )
        assert lamella("run", "--rm", name).stdout == "in image\n"
        assert lamella("run", "--rm", name, "mine").stdout == "in mine\n"
        done = lamella("run", "--rm", "--entrypoint", "sh", "-e", "B=3", name, "-c", "id -un; pwd; echo $A$B$HOME")
        assert done.stdout.split() == ["web", "/srv", "13/home/web"]
        assert lamella("run", "--rm", "--entrypoint", "", name, "echo", "bare").stdout == "bare\n"

    def test_an_image_without_a_command_needs_one(self, lamella: Lamella, make_image: MakeImage) -> None:
        done = lamella("run", "--rm", make_image("mute", cmd=None), check=False)
        assert done.returncode == 125 and "no command specified" in done.stderr

    def test_variables_come_from_flags_files_and_ourselves(self, run: Lamella, tmp_path: Path) -> None:
        (tmp_path / "vars").write_text("# comment\nFILE=a b\nPASSED\n\n")
        done = run("--env-file", tmp_path / "vars", "-e", "FLAG=1", "-e", "PATH", "-e", "MISSING", "bb", "env",
                   env={"PASSED": "on"})  # fmt: skip
        got = dict(line.split("=", 1) for line in done.stdout.splitlines())
        assert got["FILE"] == "a b" and got["FLAG"] == "1" and got["PASSED"] == "on" and "MISSING" not in got

    def test_directories_are_bound(self, run: Lamella, tmp_path: Path) -> None:
        (tmp_path / "in").write_text("host")
        script = "cat /data/in /ro/in; echo box > /data/out; touch /ro/x || echo no"
        done = run(
            "-v",
            f"{tmp_path}:/data",
            "--mount",
            f"type=bind,source={tmp_path},target=/ro,readonly",
            "bb",
            "sh",
            "-c",
            script,
        )
        assert done.stdout == "hosthostno\n" and (tmp_path / "out").read_text() == "box\n"

    def test_a_bound_directory_that_is_missing_is_made(self, run: Lamella, tmp_path: Path) -> None:
        run("-v", f"{tmp_path}/new/dir:/data", "bb", "touch", "/data/x")
        assert (tmp_path / "new/dir/x").exists()

    def test_tmpfs_read_only_and_shm(self, run: Lamella) -> None:
        script = "touch /x || echo ro; touch /t/x && df -m /t /dev/shm | awk '{print $2}'"
        done = run("--read-only", "--tmpfs", "/t:size=3m", "--shm-size", "5m", "bb", "sh", "-c", script)
        assert done.stdout.split() == ["ro", "1M-blocks", "3", "5"]

    def test_hostname_user_directory_and_hosts(self, run: Lamella) -> None:
        script = "hostname; cat /etc/hostname; id -u; id -G; pwd; grep -c 10.9.8.7 /etc/hosts"
        done = run("-h", "box", "-u", "web", "-w", "/deep/er", "--add-host", "far:10.9.8.7", "bb", "sh", "-c", script)
        assert done.stdout.split() == ["box", "box", "1000", "1001", "50", "/deep/er", "1"]

    def test_capabilities(self, run: Lamella) -> None:
        def effective(*flags: str) -> int:
            return int(run(*flags, "bb", "grep", "CapEff", "/proc/self/status").stdout.split()[1], 16)

        assert effective() == 0xA80425FB
        assert effective("--cap-drop", "ALL") == 0
        assert effective("--cap-drop", "all", "--cap-add", "net_admin") == 1 << 12
        assert effective("--privileged") & 1 << 21 and effective("-u", "web") == 0

    def test_system_calls_are_filtered_unless_that_is_switched_off(self, run: Lamella) -> None:
        def mode(*flags: str) -> str:
            return str(run(*flags, "bb", "grep", "Seccomp:", "/proc/self/status").stdout.split()[1])

        assert mode() == "2" and mode("--security-opt", "seccomp=unconfined") == "0" and mode("--privileged") == "0"

    def test_a_profile_of_the_users_own(self, run: Lamella, tmp_path: Path) -> None:
        rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42}
        (tmp_path / "p.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
        done = run("--security-opt", f"seccomp={tmp_path}/p.json", "bb", "mkdir", "/x", check=False)
        assert done.returncode == 1 and "mkdir" in done.stderr
        missing = run("--security-opt", "seccomp=/no/such.json", "bb", "true", check=False)
        assert missing.returncode == 125 and "no such seccomp profile" in missing.stderr

    def test_host_and_none_networks(self, lamella: Lamella, bb: str) -> None:
        def network(*flags: str) -> str:
            return str(lamella("run", "--rm", *flags, bb, "readlink", "/proc/self/ns/net").stdout.strip())

        ours = os.readlink("/proc/self/ns/net")
        assert network("--network", "host") == ours != network("--network", "none")

    def test_init_goes_first(self, run: Lamella) -> None:
        done = run("--init", "bb", "ps", "-o", "pid,args", check=False)
        if done.returncode == 125:
            pytest.skip("needs catatonit or tini")
        assert "docker-init" in done.stdout

    def test_a_volume_starts_with_what_the_image_has_there(
        self, lamella: Lamella, make_image: MakeImage, store_root: Path
    ) -> None:
        name = make_image("vol", volumes=("/etc",))
        script = "grep -c root /etc/passwd; echo x > /etc/new; mount | grep -c ' /etc '"
        assert lamella("run", "--name", "vv", name, "sh", "-c", script).stdout.split() == ["1", "1"]
        assert list(store_root.glob("volumes/*/_data/new"))
        lamella("rm", "-v", "vv")
        assert not list(store_root.glob("volumes/*"))
        assert not leftovers(store_root)

    def test_the_id_is_written_to_a_new_file(self, lamella: Lamella, bb: str, tmp_path: Path) -> None:
        lamella("run", "--cidfile", tmp_path / "cid", "--name", "cc", bb, "true")
        described = json.loads(lamella("container", "inspect", "cc").stdout)[0]
        assert (tmp_path / "cid").read_text() == described["Id"]
        again = lamella("run", "--cidfile", tmp_path / "cid", bb, "true", check=False)
        assert again.returncode == 125 and "container ID file found" in again.stderr

    def test_sigpipe_ends_a_command_as_it_should(self, run: Lamella) -> None:
        assert run("sh", "-c", "(yes; echo $? >&2) | head -n 1").stderr.strip() == "141"


def begin(store_root: Path, *args: str) -> subprocess.Popen[str]:
    """A lamella in the background, once the container says `ready`."""
    env = {**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "lamella", "run", "--network", "none", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=ROOT,
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def alive(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if mark in text and "pytest" not in text:
            found.append(text)
    return found


def eventually(check: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return False


class TestSignals:
    @pytest.mark.parametrize("flags", [["--rm"], []])
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
    def test_a_signal_is_passed_on(self, store_root: Path, bb: str, flags: list[str], number: signal.Signals) -> None:
        script = f"trap 'echo got; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
        process = begin(store_root, *flags, bb, "sh", "-c", script)
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
        assert (out, process.returncode) == ("got\n", 5)

    def test_one_that_will_not_hear_is_killed_at_the_third_time(
        self, lamella: Lamella, store_root: Path, bb: str
    ) -> None:
        process = begin(
            store_root, "--rm", bb, "sh", "-c", "trap '' INT TERM; echo ready; while :; do sleep 0.05; done"
        )
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            assert process.poll() is None
            process.send_signal(number)
            time.sleep(0.2)  # two of a kind at once are one
        _, err = process.communicate(timeout=20)
        assert process.returncode == 137 and "asked again and again" in err
        assert lamella("ps", "-aq").stdout == "" and not leftovers(store_root)

    def test_one_with_a_monitor_goes_on_alone_then(self, lamella: Lamella, store_root: Path, bb: str) -> None:
        process = begin(
            store_root, "--name", "deaf", bb, "sh", "-c", "trap '' INT; echo ready; while :; do sleep 0.05; done"
        )
        for _ in range(3):
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        _, err = process.communicate(timeout=20)
        assert "the container goes on alone" in err
        assert lamella("inspect", "-f", "{{.State.Running}}", "deaf").stdout == "true\n"


class TestANarrowPipe:
    """`lamella run … | head`, with a terminal at our stdin."""

    @pytest.fixture
    def cut_short(self, store_root: Path, bb: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        """Starts the command, reads a line of its output, and no more."""
        ours, theirs = pty.openpty()

        def start(*words: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "lamella", "run", "--rm", "--network", "none", *words]
            env = {**os.environ, "LAMELLA_ROOT": str(store_root)}
            process = subprocess.Popen(
                command, env=env, cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert process.stdout and process.stdout.readline() == "y\n"
            process.stdout.close()
            return process

        yield start
        os.close(ours)
        os.close(theirs)

    def test_the_command_is_told_that_nobody_reads_on(self, lamella: Lamella, bb: str, cut_short) -> None:
        process = cut_short("-i", bb, "yes")
        assert process.wait(20) == 1 and process.communicate()[1].endswith("Broken pipe\n")
        assert lamella("ps", "-aq").stdout == ""

    def test_one_on_a_terminal_goes_on_alone(self, lamella: Lamella, bb: str, cut_short) -> None:
        process = cut_short("-it", "--name", "endless", bb, "yes")
        assert process.wait(20) == 128 + signal.SIGPIPE and process.communicate()[1] == ""
        assert lamella("inspect", "-f", "{{.State.Running}}", "endless").stdout == "true\n"


class TestKilled:
    """kill -9 of anything leaves no process and no mount; the next command removes the rest."""

    @pytest.fixture
    def mark(self) -> str:
        return f"7{time.monotonic_ns() % 10**8:08d}"

    def check(self, lamella: Lamella, store_root: Path, mark: str) -> None:
        assert eventually(lambda: not alive(mark)), alive(mark)
        assert str(store_root) not in Path("/proc/self/mounts").read_text()
        assert lamella("ps", "-aq").stdout == "" and not leftovers(store_root)
        assert lamella("run", "--rm", "--network", "none", "bb", "echo", "fine").stdout == "fine\n"

    def test_lamella_in_the_foreground(self, lamella: Lamella, bb: str, store_root: Path, mark: str) -> None:
        process = begin(store_root, "--rm", bb, "sh", "-c", f"echo ready; sleep {mark} & sleep {mark}")
        assert alive(mark)
        process.kill()
        process.communicate()
        self.check(lamella, store_root, mark)

    def test_its_keeper(self, lamella: Lamella, bb: str, store_root: Path, mark: str) -> None:
        process = begin(store_root, "--rm", bb, "sh", "-c", f"echo ready; sleep {mark} & sleep {mark}")
        keeper = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        os.kill(int(keeper), signal.SIGKILL)
        process.communicate(timeout=20)
        assert process.returncode == 137
        self.check(lamella, store_root, mark)

    def test_the_monitor_of_a_detached_one(self, lamella: Lamella, bb: str, store_root: Path, mark: str) -> None:
        id = lamella("run", "-d", "--rm", "--network", "none", bb, "sleep", mark).stdout.strip()
        state = (store_root / "containers" / id / "state").read_text().split()
        os.kill(int(state[2]), signal.SIGKILL)
        self.check(lamella, store_root, mark)

    def test_the_monitor_of_one_that_is_kept(self, lamella: Lamella, bb: str, store_root: Path, mark: str) -> None:
        id = lamella("run", "-d", "--network", "none", bb, "sleep", mark).stdout.strip()
        state = (store_root / "containers" / id / "state").read_text().split()
        os.kill(int(state[2]), signal.SIGKILL)
        assert eventually(lambda: not alive(mark))
        assert lamella("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (137)")
        assert lamella("start", id).returncode == 0 and eventually(lambda: bool(alive(mark)))
        lamella("rm", "-f", id)
        self.check(lamella, store_root, mark)
