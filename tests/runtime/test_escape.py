"""Ways out of a container: each is really tried from inside one and must fail; where the guard is a wall that a flag takes
away, the same attempt gets further without it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Lamella, needs

pytestmark = needs("crun", "conmon", "gcc")
MakeImage = Callable[..., str]
FILTER, CAPABILITIES, EVERYTHING = ("--security-opt", "seccomp=unconfined"), ("--cap-add", "ALL"), ("--privileged",)


@pytest.fixture(scope="session")
def rootfs(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busybox root with `attempt` in it, which is what an attacker would bring along."""
    root = tmp_path_factory.mktemp("armed") / "root"
    shutil.copytree(rootfs, root, symlinks=True)
    source = ROOT / "testdata/escape/attempt.c"
    subprocess.run(["gcc", "-static", "-O1", "-o", root / "bin/attempt", source], check=True)
    return root


@pytest.fixture
def run(lamella: Lamella, bb: str) -> Lamella:
    """`run --rm --network none OPTIONS bb COMMAND`."""

    def start(*args: object, check: bool = False, **options: object) -> Any:
        return lamella("run", "--rm", "--network", "none", *args, check=check, **{"timeout": 60, **options})

    return start


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file of the host's that no container may see."""
    path = tmp_path / "marker"
    path.write_text("the host")
    return path


# What is tried, and what stands in its way.
ATTEMPTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("unshare-user", "clone-user", "clone3", "keyring", "add-key", "request-key", "load-bpf", "perf", "fault",
                     "uring", "kexec", "module", "ports", "level", "clock", "no-random", "crypto", "machine"), FILTER),
    **dict.fromkeys(("unshare-mounts", "enter /proc/1/ns/mnt", "mount-tmpfs", "mount-proc", "mount-cgroup", "remount /proc/sys",
                     "unmount /proc/sys", "open-fs", "tree", "handle", "reboot", "account", "kernel-log"), CAPABILITIES),
    **dict.fromkeys(("swap", "pivot"), EVERYTHING),
}  # fmt: skip


class TestSystemCalls:
    """Namespaces of one's own (CVE-2022-0185), keyrings, BPF, modules, kexec, raw I/O, handles of other file systems
    (CVE-2014-3519), and the mounts that hide and protect."""

    def answers(self, run: Lamella, *flags: str) -> dict[str, str]:
        script = "".join(f"echo $(attempt {name});" for name in ATTEMPTS)
        return dict(zip(ATTEMPTS, run(*flags, "bb", "sh", "-c", script).stdout.split(), strict=True))

    def test_none_is_let_through(self, run: Lamella) -> None:
        expected = {name: "ENOSYS" if name == "clone3" else "EPERM" for name in ATTEMPTS}
        assert self.answers(run) == expected
        assert self.answers(run, "-m", "16m") == expected
        assert self.answers(run, "--runtime", "runc") == expected

    @pytest.mark.parametrize("loosened", [FILTER, CAPABILITIES, EVERYTHING], ids=" ".join)
    def test_each_gets_further_without_its_wall(self, run: Lamella, loosened: tuple[str, ...]) -> None:
        for name, wall in ATTEMPTS.items():
            if wall == loosened:
                done = run(*loosened, "bb", "attempt", *name.split())
                assert (done.stdout.split() and done.stdout.split()[-1] not in ("EPERM", "")) or name == "clone3", name

    def test_exec_is_no_way_around(self, lamella: Lamella, bb: str) -> None:
        id = lamella("run", "-d", "--network", "none", bb, "sleep", "100").stdout.strip()
        for name in ("unshare-user", "mount-tmpfs", "keyring"):
            assert lamella("exec", id, "attempt", name).stdout == "EPERM\n"


class TestKernelFiles:
    FILES = ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches",
             "/proc/sys/fs/binfmt_misc/register", "/sys/kernel/uevent_helper", "/proc/irq/0/smp_affinity",
             "/proc/sys/kernel/unprivileged_bpf_disabled", "/sys/kernel/mm/transparent_hugepage/enabled")  # fmt: skip

    def opened(self, run: Lamella, *flags: str) -> list[str]:
        """Those that can be opened for writing; nothing is written."""
        script = "".join(f"[ -e {path} ] && (exec 3>>{path}) 2>/dev/null && echo {path};" for path in self.FILES)
        return list(run(*flags, "bb", "sh", "-c", script).stdout.split())

    def test_none_can_be_written(self, run: Lamella) -> None:
        assert self.opened(run) == []
        assert self.opened(run, "--cap-add", "ALL") == []

    def test_without_the_walls_they_could_be(self, run: Lamella) -> None:
        assert "/proc/sys/kernel/core_pattern" in self.opened(run, "--security-opt", "systempaths=unconfined")

    def test_no_program_is_named_to_be_run_when_a_cgroup_empties(self, run: Lamella) -> None:
        script = "for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release); do (exec 3>>$f) 2>/dev/null && echo $f; done"
        for flags in ((), ("-m", "16m"), ("-m", "16m", "--runtime", "runc"), ("-m", "16m", "--cap-add", "ALL")):
            assert run(*flags, "bb", "sh", "-c", script).stdout == "", flags
        assert "release" in run("--privileged", "bb", "sh", "-c", script).stdout or not os.path.isdir(
            "/sys/fs/cgroup/memory"
        )


def host_disk() -> str:
    """The numbers of a disk that this host lets root open, as MAJOR:MINOR."""
    for name in ("loop0", "vda", "sda", "nvme0n1"):
        with contextlib.suppress(OSError):
            os.close(os.open(f"/dev/{name}", os.O_RDONLY))
            return Path(f"/sys/class/block/{name}/dev").read_text().strip()
    pytest.skip("needs a disk")


class TestDevices:
    PLACES = ("/disk", "/dev/disk", "/tmp/disk", "/dev/shm/disk", "/t/disk", "/v/disk", "/anonymous/disk")

    def answers(self, run: Lamella, tmp_path: Path, *flags: str) -> list[str]:
        script = "".join(f"attempt node {place}:{host_disk()};" for place in self.PLACES)
        mounts = ("--tmpfs", "/t", "-v", f"{tmp_path}:/v", "-v", "/anonymous")
        return list(run(*mounts, *flags, "bb", "sh", "-c", script).stdout.split())

    @pytest.mark.parametrize("flags", [(), ("-m", "16m"), ("--runtime", "runc"), ("--cap-add", "ALL"), ("--device", "/dev/fuse")],
                             ids=" ".join)  # fmt: skip
    def test_a_node_of_the_host_s_disk_can_be_made_and_not_be_opened(
        self, run: Lamella, tmp_path: Path, flags: tuple[str, ...]
    ) -> None:
        answers = self.answers(run, tmp_path, *flags)
        assert len(answers) == len(self.PLACES) and set(answers) <= {"EPERM", "EACCES"}

    def test_one_that_is_allowed_by_number_can_be(self, run: Lamella, tmp_path: Path) -> None:
        assert "yes" in self.answers(run, tmp_path, f"--device-cgroup-rule=b {host_disk()} rwm")

    def test_nodes_in_an_image_cannot_be_opened(
        self, lamella: Lamella, make_image: MakeImage, rootfs: Path, store_root: Path
    ) -> None:
        name = make_image("nodes")
        major, minor = map(int, host_disk().split(":"))
        (layer,) = (path for path in (store_root / "layers").iterdir() if (path / "bin/attempt").exists())
        os.mknod(layer / "disk", 0o060666, os.makedev(major, minor))
        done = lamella("run", "--rm", "--network", "none", name, "head", "-c1", "/disk", check=False)
        assert done.returncode == 1 and done.stdout == "" and "ermi" in done.stderr


class TestDirectories:
    """CVE-2024-21626 and its kin: descriptors of the host's directories that leak, and working directories in them."""

    def test_no_descriptor_comes_along(self, run: Lamella, marker: Path) -> None:
        leaked = os.open(marker.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(leaked, True)
        try:
            for flags in ((), ("--runtime", "runc"), ("-m", "16m")):
                done = run(*flags, "bb", "ls", "/proc/self/fd", pass_fds=(leaked,))
                assert done.stdout.split() == ["0", "1", "2", "3"], flags  # the last is the listing's own
        finally:
            os.close(leaked)

    @pytest.mark.parametrize("flags", [(), ("--runtime", "runc"), ("-d",)], ids=" ".join)
    def test_no_working_directory_leads_out(
        self, lamella: Lamella, bb: str, marker: Path, flags: tuple[str, ...]
    ) -> None:
        leaked = os.open(marker.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(leaked, True)
        try:
            for number in sorted({*range(3, 12), leaked}):
                script = "cat /proc/self/cwd/marker ./marker ../marker"
                done = lamella("run", "--network", "none", *flags, "--name", f"c{number}", "-w", f"/proc/self/fd/{number}", bb, "sh", "-c",
                               script, check=False, pass_fds=(leaked,), timeout=60)  # fmt: skip
                assert "the host" not in done.stdout + lamella("logs", f"c{number}", check=False).stdout, number
                lamella("rm", "-f", f"c{number}", check=False)
        finally:
            os.close(leaked)

    def test_no_working_directory_of_exec_does(self, lamella: Lamella, bb: str, marker: Path) -> None:
        id = lamella("run", "-d", "--network", "none", bb, "sleep", "100").stdout.strip()
        leaked = os.open(marker.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(leaked, True)
        try:
            for number in sorted({*range(3, 12), leaked}):
                done = lamella(
                    "exec",
                    "-w",
                    f"/proc/self/fd/{number}",
                    id,
                    "cat",
                    "marker",
                    "../marker",
                    check=False,
                    pass_fds=(leaked,),
                )
                assert "the host" not in done.stdout, number
            assert lamella("exec", id, "ls", "/proc/self/fd", pass_fds=(leaked,)).stdout.split() == ["0", "1", "2", "3"]
        finally:
            os.close(leaked)

    def test_a_chroot_is_not_what_keeps_it_in(self, run: Lamella, marker: Path) -> None:
        assert run("bb", "attempt", "climb", marker).stdout == "ENOENT\n"
        assert run("bb", "attempt", "climb", "/etc/passwd").stdout == "yes\n"


class TestProcesses:
    def test_who_enters_brings_nothing_to_climb_out_by(self, lamella: Lamella, bb: str, marker: Path) -> None:
        """CVE-2016-9962: processes of `exec` are looked into while they come in."""
        id = lamella("run", "-d", "--network", "none", bb, "attempt", "spy", marker).stdout.strip()
        for _ in range(12):
            lamella("exec", id, "true", check=False)
        lamella("wait", id)
        assert lamella("logs", id).stdout == "ENOENT\n"

    def test_the_spy_would_see_it(self, lamella: Lamella, bb: str, marker: Path) -> None:
        """The same with a process that does have such a descriptor."""
        id = lamella(
            "run",
            "-d",
            "--network",
            "none",
            "-v",
            f"{marker.parent}:/v",
            bb,
            "sh",
            "-c",
            "sleep 3 3</v & attempt spy /marker",
        ).stdout
        lamella("wait", id.strip())
        assert "yes" in lamella("logs", id.strip()).stdout

    @pytest.mark.parametrize("runtime", ["crun", "runc"])
    def test_the_runtime_s_program_is_not_overwritten(
        self, lamella: Lamella, bb: str, tmp_path: Path, runtime: str
    ) -> None:
        """CVE-2019-5736: whoever is executed as /proc/self/exe is the runtime itself, which must not be the host's file."""
        path = next(
            f"{place}/{runtime}"
            for place in ("/usr/bin", "/usr/sbin", "/usr/local/bin")
            if os.path.exists(f"{place}/{runtime}")
        )
        program = tmp_path / runtime
        shutil.copy(path, program)  # never the machine's own, should this succeed
        inode = program.stat().st_ino
        script = "printf '#!/proc/self/exe\\n' > /evil; chmod 755 /evil; exec attempt overwrite " + str(inode)
        id = lamella("run", "-d", "--runtime", program, "--network", "none", bb, "sh", "-c", script).stdout.strip()
        for _ in range(8):
            lamella("exec", id, "/evil", check=False)
        lamella("wait", id)
        assert lamella("logs", id).stdout in ("ENOENT\n", "EACCES\n")

    def test_a_program_that_is_not_kept_from_it_would_be(self, run: Lamella) -> None:
        script = "cp /bin/busybox /sleep; inode=$(stat -c %i /sleep); (for i in 1 2 3 4; do /sleep 0.2; done) & exec attempt overwrite $inode"
        assert run("bb", "sh", "-c", script).stdout == "yes\n"
