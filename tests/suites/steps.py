"""What every StepRunner must do. A test class inherits this and gives a fixture `runner`, which makes one inside the child."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import InvalidInput, NotFound
from runtime.mounts import Mount
from runtime.step import Given, Limit, Step, StepRunner
from runtime.streams import Stop, Stopped
from tests.suites.contained import inside

Make = Callable[[], StepRunner]


class Heard:
    """Collects what a step writes."""

    def __init__(self) -> None:
        self.stdout, self.stderr = b"", b""

    def __call__(self, stream: str, data: bytes) -> None:
        setattr(self, stream, getattr(self, stream) + data)


def sh(script: str, **fields: object) -> Step:
    return Step(("/bin/sh", "-c", script), **fields)  # type: ignore[arg-type]


def listing(root: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(p.relative_to(root)): (p.lstat().st_mode, p.lstat().st_mtime_ns, p.lstat().st_size)
        for p in [root, *root.rglob("*")]
    }


class StepSuite:
    @pytest.fixture
    def root(self, rootfs: Path, tmp_path: Path) -> Path:
        copy = tmp_path / "root"
        shutil.copytree(rootfs, copy, symlinks=True)
        copy.chmod(0o755)  # pytest's own directories are closed to the users that steps run as
        return copy

    def run(self, make: Make, root: Path, step: Step) -> tuple[int, Heard]:
        """Run one step where everything it mounts is private; its exit code and output come back through a file."""
        heard, result = Heard(), root.parent / "result"

        def work() -> None:
            code = make().run(root, step, heard)
            result.write_bytes(b"%d %d\n" % (code, len(heard.stdout)) + heard.stdout + heard.stderr)

        inside(work)
        head, _, written = result.read_bytes().partition(b"\n")
        code, length = map(int, head.split())
        heard.stdout, heard.stderr = written[:length], written[length:]
        return code, heard

    def test_output_and_exit_code_come_through(self, runner: Make, root: Path) -> None:
        code, heard = self.run(runner, root, sh("echo out; echo err >&2; exit 7"))
        assert (code, heard.stdout, heard.stderr) == (7, b"out\n", b"err\n")

    def test_a_command_that_is_not_there_gives_127(self, runner: Make, root: Path) -> None:
        code, heard = self.run(runner, root, Step(("nonesuch",)))
        assert code == 127 and b"nonesuch" in heard.stderr

    def test_a_command_that_cannot_be_executed_gives_126(self, runner: Make, root: Path) -> None:
        (root / "plain").write_text("no program")
        code, heard = self.run(runner, root, Step(("/plain",)))
        assert code == 126 and heard.stderr

    def test_much_output_on_both_streams_does_not_block(self, runner: Make, root: Path) -> None:
        code, heard = self.run(
            runner, root, sh("dd if=/dev/zero bs=1M count=8 & dd if=/dev/zero bs=1M count=8 >&2; wait")
        )
        assert code == 0
        assert heard.stdout.count(0) + heard.stderr.count(0) == 0 or len(heard.stdout + heard.stderr) >= 16 << 20

    def test_what_it_writes_stays_and_what_was_mounted_for_it_does_not(self, runner: Make, root: Path) -> None:
        for name in ("proc", "sys", "dev"):
            (root / name).rmdir()
        os.utime(root / "etc", (1_000_000, 1_000_000))
        os.utime(root, (1_000_000, 1_000_000))
        before = listing(root)
        code, _ = self.run(runner, root, sh("cat /etc/hosts /etc/resolv.conf >/dev/null && echo kept > /tmp/new"))
        assert code == 0
        after = listing(root)
        assert after.pop("tmp/new")[2] == 5
        assert after | {"tmp": before["tmp"]} == before

    def test_a_mount_point_below_a_link_is_made_inside_the_root(self, runner: Make, root: Path, tmp_path: Path) -> None:
        (root / "etc/resolv.conf").symlink_to(f"{tmp_path}/outside/resolv.conf")
        code, _ = self.run(runner, root, sh("cat /etc/resolv.conf"))
        assert code == 0 and not (tmp_path / "outside").exists() and not (root / str(tmp_path)[1:]).exists()

    @pytest.mark.parametrize("name", ["dev", "proc", "sys"])
    def test_a_link_in_the_place_of_the_kernels_file_systems_is_refused(
        self, runner: Make, root: Path, tmp_path: Path, name: str
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (root / name).rmdir()
        (root / name).symlink_to(outside)

        def work() -> None:
            with pytest.raises(InvalidInput, match=f"/{name} of the root file system is no directory"):
                runner().run(root, sh("true"), Heard())

        inside(work)
        assert not list(outside.iterdir())

    def test_a_link_put_above_a_mount_point_does_not_lead_the_cleaning_up_outside(
        self, runner: Make, root: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "hosts").touch()  # empty, as a mount point made for the step is
        (outside / "inner").mkdir()
        script = f"mv /etc /moved && ln -s {outside} /etc && mv /a /b && ln -s {outside} /a"
        code, heard = self.run(runner, root, sh(script, mounts=(Mount("", "/a/inner", "tmpfs"),)))
        assert code == 0, heard.stderr
        assert sorted(path.name for path in outside.iterdir()) == ["hosts", "inner"]

    def test_the_user_and_all_groups_come_from_the_root(self, runner: Make, root: Path) -> None:
        code, heard = self.run(runner, root, sh("id -u; id -g; id -G; echo $HOME", user="web"))
        assert (code, heard.stdout.split()) == (0, [b"1000", b"1001", b"1001", b"50", b"/home/web"])

    def test_a_numeric_user_needs_no_entry(self, runner: Make, root: Path) -> None:
        code, heard = self.run(runner, root, sh("id -u; id -g", user="4242:77"))
        assert (code, heard.stdout.split()) == (0, [b"4242", b"77"])

    def test_an_unknown_user_is_an_error(self, runner: Make, root: Path) -> None:
        def work() -> None:
            with pytest.raises(NotFound, match="unable to find user bob"):
                runner().run(root, sh("true", user="bob"), Heard())

        inside(work)

    def test_the_working_directory_is_made(self, runner: Make, root: Path) -> None:
        code, heard = self.run(runner, root, sh("pwd", cwd="/srv/deep"))
        assert (code, heard.stdout) == (0, b"/srv/deep\n") and (root / "srv/deep").is_dir()

    def test_nothing_it_started_outlives_it(self, runner: Make, root: Path) -> None:
        mark = f"{time.monotonic_ns()}"
        code, _ = self.run(runner, root, sh(f"(sleep {mark} &) ; true"))
        assert code == 0
        assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in _cmdline(p)]

    def test_it_is_a_container(self, runner: Make, root: Path) -> None:
        code, heard = self.run(runner, root, sh("echo $$; hostname; grep CapEff /proc/self/status; ls /sys/kernel >/dev/null; "
                                                "touch /sys/x 2>/dev/null || echo read-only; cat /proc/sysrq-trigger"))  # fmt: skip
        assert heard.stdout.split()[:4] == [b"1", b"buildkitsandbox", b"CapEff:", b"00000000a80425fb"]
        assert b"read-only" in heard.stdout and code != 0

    def test_a_device_node_it_makes_cannot_be_opened(self, runner: Make, root: Path) -> None:
        make = "for i in /node /dev/node /dev/shm/node; do mknod $i c 10 237 || exit 1; done"  # loop-control
        script = f"{make}; for i in /node /dev/node /dev/shm/node; do (: <$i) 2>/dev/null && exit 2; done; head -c1 /dev/zero"
        code, heard = self.run(runner, root, sh(script))
        assert (code, heard.stdout) == (0, b"\0")

    def test_a_filter_keeps_dangerous_system_calls_away(self, runner: Make, root: Path) -> None:
        _, heard = self.run(runner, root, sh("grep Seccomp: /proc/self/status"))
        assert heard.stdout.split() == [b"Seccomp:", b"2"]

    def test_the_devices_it_gets_are_not_the_hosts_own(self, runner: Make, root: Path) -> None:
        before = os.stat("/dev/null")
        assert self.run(runner, root, sh("chmod 600 /dev/null; chown 5 /dev/null"))[0] == 0
        after = os.stat("/dev/null")
        assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)

    def test_without_a_network_only_loopback_is_there(self, runner: Make, root: Path) -> None:
        code, heard = self.run(runner, root, sh("ls /sys/class/net; ip link show lo | grep -c UP", network="none"))
        assert code == 0 and heard.stdout.split()[-1] == b"1" and b"eth" not in heard.stdout

    def test_hosts_can_be_added(self, runner: Make, root: Path) -> None:
        code, heard = self.run(runner, root, sh("grep thing /etc/hosts", add_hosts=("thing:10.1.2.3",)))
        assert (code, heard.stdout) == (0, b"10.1.2.3\tthing\n")

    def test_mounts_are_there_and_their_points_go(self, runner: Make, root: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("hush")
        mounts = (
            Mount(str(tmp_path / "secret"), "/run/secrets/key", read_only=True),
            Mount("", "/scratch", "tmpfs"),
        )
        code, heard = self.run(
            runner, root, sh("cat /run/secrets/key; touch /scratch/x; echo >/run/secrets/key", mounts=mounts)
        )
        assert heard.stdout == b"hush" and code != 0
        assert not (root / "run").exists() and not (root / "scratch").exists()

    def test_files_can_be_given_that_nobody_else_sees(self, runner: Make, root: Path) -> None:
        before = listing(root)
        files = (
            Given("/run/secrets/key", b"hush"),
            Given("/etc/theirs", b"theirs", 0o440, 1000, 1001),
            Given("/dev/pipes/script", b"#!/bin/sh\necho ran; echo >/dev/pipes/script", 0o755),
        )
        script = "cat /run/secrets/key /etc/theirs; stat -c ' %a %u %g' /run/secrets/key /etc/theirs; /dev/pipes/script"
        code, heard = self.run(runner, root, sh(script, files=files))
        assert heard.stdout == b"hushtheirs 400 0 0\n 440 1000 1001\nran\n" and code != 0
        assert listing(root) == before and "hush" not in repr(files)

    def test_memory_and_limits_are_as_asked_for(self, runner: Make, root: Path) -> None:
        step = sh("ulimit -n; ulimit -Hn; ulimit -c; df -k /dev/shm | tail -1", shm_size=3 << 20,
                  limits=(Limit("nofile", 100, 200), Limit("core", -1, -1)))  # fmt: skip
        code, heard = self.run(runner, root, step)
        assert code == 0 and heard.stdout.split()[:5] == [b"100", b"200", b"unlimited", b"shm", b"3072"]

    def test_another_thread_can_end_it(self, runner: Make, root: Path) -> None:
        mark = f"{time.monotonic_ns()}"

        def work() -> None:
            for script in (f"echo x; sleep {mark}", f"echo x; exec >&- 2>&-; sleep {mark}"):
                stop = Stop()
                started = time.monotonic()
                with pytest.raises(Stopped):
                    runner().run(root, sh(script), lambda *_, stop=stop: threading.Timer(0.1, stop.set).start(), stop)
                assert time.monotonic() - started < 30 and stop.is_set()
                assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in _cmdline(p)]
                stop.close()

        inside(work)

    def test_reading_from_stdin_ends_at_once_and_the_host_keeps_its_null_device(self, runner: Make, root: Path) -> None:
        before = os.stat("/dev/null").st_uid
        code, heard = self.run(runner, root, sh("cat; echo done", user="1000"))
        assert (code, heard.stdout) == (0, b"done\n") and os.stat("/dev/null").st_uid == before

    def test_an_error_in_the_listener_ends_the_step(self, runner: Make, root: Path) -> None:
        def work() -> None:
            def refuse(stream: str, data: bytes) -> None:
                raise RuntimeError("enough")

            started = time.monotonic()
            with pytest.raises(RuntimeError, match="enough"):
                runner().run(root, sh("echo x; sleep 60"), refuse)
            assert time.monotonic() - started < 30

        inside(work)

    def test_steps_run_side_by_side(self, runner: Make, root: Path) -> None:
        roots = [root.with_name(f"root{n}") for n in range(4)]
        for copy in roots:
            shutil.copytree(root, copy, symlinks=True)

        def work() -> None:
            made, codes = runner(), {}
            threads = [
                threading.Thread(target=lambda n=n: codes.update({n: made.run(roots[n], sh(f"exit {n}"), Heard())}))  # type: ignore[misc]
                for n in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert codes == {n: n for n in range(4)}

        inside(work)


def _cmdline(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
