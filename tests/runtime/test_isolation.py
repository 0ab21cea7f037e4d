"""Walls: Docker's by default, and what each flag changes of them, seen from inside real containers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from core.value import replace
from runtime.container import Container
from runtime.engine import Engine
from runtime.isolating import apply, has_apparmor, has_selinux
from runtime.isolation import Isolation
from runtime.spec import Bundle, Process
from runtime.user import User
from tests.conftest import Lamella, needs

pytestmark = needs("crun", "conmon")


@pytest.fixture
def run(lamella: Lamella, bb: str) -> Lamella:
    """`run --rm --network none OPTIONS bb COMMAND`."""

    def start(*args: object, check: bool = True, **options: object) -> Any:
        return lamella("run", "--rm", "--network", "none", *args, check=check, **options)

    return start


def mounts(run: Lamella, *flags: str) -> dict[str, tuple[str, set[str]]]:
    """Where → (type, options) of the mounts a container sees."""
    lines = run(*flags, "bb", "cat", "/proc/mounts").stdout.splitlines()
    return {words[1]: (words[2], set(words[3].split(","))) for words in (line.split() for line in lines)}


class TestDefaults:
    """What Docker 20.10 shows of a container on the same machine."""

    def test_mounts(self, run: Lamella) -> None:
        seen = mounts(run)
        quiet = {"nosuid", "nodev", "noexec"}
        assert seen["/proc"][0] == "proc" and quiet | {"rw"} <= seen["/proc"][1]
        assert seen["/dev"][0] == "tmpfs" and {"nosuid", "size=65536k", "mode=755"} <= seen["/dev"][1]
        assert seen["/dev/pts"][0] == "devpts" and {"gid=5", "mode=620", "ptmxmode=666"} <= seen["/dev/pts"][1]
        assert seen["/sys"][0] == "sysfs" and quiet | {"ro"} <= seen["/sys"][1]
        assert seen["/dev/mqueue"][0] == "mqueue" and quiet <= seen["/dev/mqueue"][1]
        assert seen["/dev/shm"][0] == "tmpfs" and quiet | {"size=65536k"} <= seen["/dev/shm"][1]
        for path in ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"):
            assert "ro" in seen[path][1], path
        for path in ("/proc/acpi", "/proc/keys", "/proc/timer_list", "/sys/firmware"):
            if Path(path).exists():
                assert path in seen, path

    def test_what_is_hidden_is_empty(self, run: Lamella) -> None:
        done = run("bb", "sh", "-c", "cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; ls /sys/firmware /proc/acpi | grep -v :",
                   check=False)  # fmt: skip
        assert done.stdout.strip() == ""

    def test_devices(self, run: Lamella) -> None:
        names = set(run("bb", "ls", "/dev").stdout.split()) - {"core"}  # crun's link to /proc/kcore, which is hidden
        assert names == {"fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
                         "urandom", "zero"}  # fmt: skip

    def test_capabilities(self, run: Lamella) -> None:
        status = run("bb", "cat", "/proc/self/status").stdout
        assert re.findall(r"Cap(\w+):\t(\w+)", status) == [
            ("Inh", "0" * 16), ("Prm", "00000000a80425fb"), ("Eff", "00000000a80425fb"), ("Bnd", "00000000a80425fb"), ("Amb", "0" * 16),
        ]  # fmt: skip
        assert "NoNewPrivs:\t0" in status and "Seccomp:\t2" in status

    def test_anybody_may_listen_and_ping_in_a_network_of_its_own(self, run: Lamella) -> None:
        files = ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/ipv4/ping_group_range")
        assert run("bb", "cat", *files).stdout.split() == ["0", "0", "2147483647"]

    def test_namespaces(self, run: Lamella) -> None:
        seen = run(
            "bb", "sh", "-c", "for n in mnt net uts ipc pid user cgroup; do readlink /proc/self/ns/$n; done"
        ).stdout.split()
        ours = [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "net", "uts", "ipc", "pid", "user", "cgroup")]
        assert [a == b for a, b in zip(seen, ours, strict=True)] == [False] * 5 + [True, True]


class TestSecurityOptions:
    def test_no_new_privileges(self, run: Lamella) -> None:
        for words in (["no-new-privileges"], ["no-new-privileges=true"], ["no-new-privileges:true"]):
            assert "NoNewPrivs:\t1" in run("--security-opt", *words, "bb", "cat", "/proc/self/status").stdout
        assert (
            "NoNewPrivs:\t0"
            in run("--security-opt", "no-new-privileges=false", "bb", "cat", "/proc/self/status").stdout
        )

    def test_it_counts_for_exec_too(self, lamella: Lamella, bb: str) -> None:
        flags = ("--security-opt", "no-new-privileges", "--ulimit", "nofile=99:100")
        id = lamella("run", "-d", "--network", "none", *flags, bb, "sleep", "100").stdout.strip()
        done = lamella("exec", id, "sh", "-c", "grep -E 'NoNew|Seccomp:' /proc/self/status; ulimit -n")
        assert done.stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2", "99"]

    def test_system_paths(self, run: Lamella) -> None:
        seen = mounts(run, "--security-opt", "systempaths=unconfined")
        assert "/proc/sys" not in seen and "/proc/keys" not in seen

    def test_masking_and_unmasking_single_paths(self, run: Lamella) -> None:
        seen = mounts(run, "--security-opt", "mask=/etc/passwd:/tmp", "--security-opt", "unmask=/proc/sys:/proc/keys")
        assert {"/tmp", "/etc/passwd"} <= set(seen) and "/proc/sys" not in seen and "/proc/keys" not in seen
        assert "/proc/timer_list" in seen and "/proc/irq" in seen

    def test_labels_and_profiles_of_modules_that_this_kernel_lacks_change_nothing(self, run: Lamella) -> None:
        assert (
            run("--security-opt", "label=disable", "--security-opt", "apparmor=unconfined", "bb", "echo", "in").stdout
            == "in\n"
        )

    @pytest.mark.skipif(has_apparmor() or has_selinux(), reason="this kernel has one of the modules")
    def test_what_a_missing_module_cannot_do_is_said_in_one_line(self, run: Lamella) -> None:
        for option, module in (("apparmor=docker-default", "AppArmor"), ("label=type:spc_t", "SELinux")):
            done = run("--security-opt", option, "bb", "echo", "in")
            said = f"WARNING: this host has no {module}: --security-opt {option} changes nothing\n"
            assert (done.stdout, done.stderr) == ("in\n", said)
        done = run("--security-opt", "label=disable", "--security-opt", "apparmor=unconfined", "bb", "true")
        assert done.stderr == ""

    @pytest.mark.parametrize(
        ("option", "said"),
        [("foo", 'invalid --security-opt: "foo"'), ("foo=bar", 'invalid --security-opt: "foo=bar"'),
         ("no-new-privileges:x", 'invalid --security-opt: "no-new-privileges:x"'),
         ("systempaths=x", 'invalid --security-opt: "systempaths=x"'),
         ("seccomp=/no/such", "opening seccomp profile (/no/such) failed: no such seccomp profile")],
    )  # fmt: skip
    def test_what_makes_no_sense(self, run: Lamella, option: str, said: str) -> None:
        done = run("--security-opt", option, "bb", "true", check=False)
        assert done.returncode == 125 and done.stderr.startswith(f"lamella: {said}\n")

    def test_a_filter_that_leaves_no_clone3(self, run: Lamella) -> None:
        assert (
            run("--security-opt", "seccomp=builtin", "bb", "grep", "Seccomp:", "/proc/self/status").stdout.split()[1]
            == "2"
        )


class TestNamespaces:
    @pytest.mark.parametrize("name", ["ipc", "uts"])
    def test_those_of_the_host(self, run: Lamella, name: str) -> None:
        seen = run(f"--{name}", "host", "bb", "readlink", f"/proc/self/ns/{name}").stdout.strip()
        assert seen == os.readlink(f"/proc/self/ns/{name}")

    def test_the_host_s_name(self, run: Lamella) -> None:
        assert run("--uts", "host", "bb", "hostname").stdout.strip() == os.uname().nodename
        done = run("--uts", "host", "-h", "other", "bb", "true", check=False)
        assert (done.returncode, done.stderr) == (125, "lamella: conflicting options: hostname and the UTS mode\n")

    def test_the_host_s_shared_memory(self, run: Lamella) -> None:
        name = f"lamella-{os.urandom(4).hex()}"
        Path(f"/dev/shm/{name}").write_text("here")
        try:
            assert run("--ipc", "host", "bb", "cat", f"/dev/shm/{name}").stdout == "here"
            assert run("bb", "ls", "/dev/shm").stdout == ""
        finally:
            os.unlink(f"/dev/shm/{name}")

    def test_no_shared_memory_at_all(self, run: Lamella) -> None:
        assert "/dev/shm" not in mounts(run, "--ipc", "none")

    def test_its_own_cgroup_paths(self, run: Lamella) -> None:
        assert "/lamella/" not in run("--cgroupns", "private", "-m", "16m", "bb", "cat", "/proc/self/cgroup").stdout
        assert "/lamella/" in run("--cgroupns", "host", "-m", "16m", "bb", "cat", "/proc/self/cgroup").stdout

    @pytest.mark.parametrize(
        ("flag", "said"),
        [("--pid=x", "--pid: invalid PID mode"), ("--ipc=x", "Invalid IPC mode: x"), ("--uts=x", "--uts: invalid UTS mode"),
         ("--userns=x", "--userns: invalid USER mode"), ("--cgroupns=x", "--cgroupns: invalid CGROUP mode")],
    )  # fmt: skip
    def test_modes_that_there_are_not(self, run: Lamella, flag: str, said: str) -> None:
        done = run(flag, "bb", "true", check=False)
        assert done.returncode == 125 and done.stderr.startswith(f"lamella: {said}\n")


class TestSysctls:
    def test_those_of_its_own_namespaces_are_set(self, run: Lamella) -> None:
        flags = (
            "--sysctl",
            "net.ipv4.ip_forward=1",
            "--sysctl",
            "kernel.msgmax=9000",
            "--sysctl",
            "fs.mqueue.msg_max=20",
        )
        files = ("net/ipv4/ip_forward", "kernel/msgmax", "fs/mqueue/msg_max", "net/ipv4/ip_unprivileged_port_start")
        done = run(*flags, "bb", "cat", *(f"/proc/sys/{name}" for name in files))
        assert done.stdout.split() == ["1", "9000", "20", "0"]

    @pytest.mark.parametrize(
        ("flags", "said"),
        [("--sysctl foo", "invalid argument \"foo\" for \"--sysctl\" flag: sysctl 'foo' is not allowed"),
         ("--sysctl kernel.core_pattern=x",
          "invalid argument \"kernel.core_pattern=x\" for \"--sysctl\" flag: sysctl 'kernel.core_pattern=x' is not allowed"),
         ("--sysctl vm.swappiness=1",
          "invalid argument \"vm.swappiness=1\" for \"--sysctl\" flag: sysctl 'vm.swappiness=1' is not allowed"),
         ("--sysctl kernel.msgmax=9 --ipc host", 'sysctl "kernel.msgmax" is not allowed in the hosts ipc namespace'),
         ("--network host --sysctl net.ipv4.ip_forward=1", 'sysctl "net.ipv4.ip_forward" not allowed in host network namespace')],
    )  # fmt: skip
    def test_those_of_the_host_are_not(self, lamella: Lamella, bb: str, flags: str, said: str) -> None:
        network = () if "--network" in flags else ("--network", "none")
        done = lamella("run", "--rm", *network, *flags.split(), bb, "true", check=False)
        assert done.returncode == 125 and done.stderr.startswith(f"lamella: {said}\n")


class TestUlimits:
    def test_soft_and_hard(self, run: Lamella) -> None:
        done = run(
            "--ulimit", "nofile=64:128", "--ulimit", "core=0", "bb", "sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c"
        )
        assert done.stdout.split() == ["64", "128", "0"]

    def test_more_than_may_be_given_is_clamped_with_one_warning(self, run: Lamella) -> None:
        import resource

        from core.syscalls import has_capability

        ours = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if has_capability(24):
            pytest.skip("needs to be without CAP_SYS_RESOURCE")
        done = run("--ulimit", f"nofile=64:{ours + 1}", "bb", "sh", "-c", "ulimit -Sn; ulimit -Hn")
        assert done.stdout.split() == ["64", str(ours)]
        assert (
            done.stderr
            == f"WARNING: ulimit nofile 64:{ours + 1} is above what this process may give: 64:{ours} it is\n"
        )

    @pytest.mark.parametrize(
        ("value", "said"),
        [("foo=1", "invalid ulimit type: foo"), ("nofile", "invalid ulimit argument: nofile"),
         ("nofile=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
         ("nofile=20:10", "ulimit soft limit must be less than or equal to hard limit: 20 > 10"),
         ("nofile=1:2:3", "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`")],
    )  # fmt: skip
    def test_what_makes_no_sense(self, run: Lamella, value: str, said: str) -> None:
        done = run("--ulimit", value, "bb", "true", check=False)
        assert (done.returncode, done.stderr) == (
            125,
            f'lamella: invalid argument "{value}" for "--ulimit" flag: {said}\n',
        )


class TestDevices:
    def test_one_is_there_under_any_name_and_works(self, run: Lamella) -> None:
        script = "ls -l /dev/kmsg /inner/zero | awk '{print $5$6}'; head -c 2 /inner/zero | wc -c"
        done = run("--device", "/dev/kmsg", "--device", "/dev/zero:/inner/zero", "bb", "sh", "-c", script)
        assert done.stdout.split() == ["1,11", "1,5", "2"]

    def test_the_host_s_node_is_not_the_container_s_to_change(self, run: Lamella) -> None:
        before = os.stat("/dev/kmsg")
        run("--device", "/dev/kmsg", "bb", "sh", "-c", "chmod 777 /dev/kmsg; chown 7 /dev/kmsg")
        after = os.stat("/dev/kmsg")
        assert (before.st_mode, before.st_uid) == (after.st_mode, after.st_uid)

    def test_only_as_it_was_allowed(self, run: Lamella) -> None:
        script = "head -c 1 /dev/full | wc -c; echo x > /dev/other"
        done = run("--device", "/dev/zero:/dev/other:r", "bb", "sh", "-c", script, check=False)
        assert done.stdout.split() == ["1"]
        assert "Operation not permitted" in run("--device", "/dev/kmsg:/dev/kmsg:r", "bb", "sh", "-c", "echo x > /dev/kmsg",
                                                check=False).stderr  # fmt: skip

    def test_all_in_a_directory(self, run: Lamella, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        os.mknod(tmp_path / "sub/null", 0o020666, os.makedev(1, 3))
        assert run("--device", f"{tmp_path}:/dev/mine", "bb", "ls", "/dev/mine/sub").stdout == "null\n"

    def test_by_number(self, run: Lamella) -> None:
        script = "for f in /fuse /dev/own; do mknod $f c 10 229; (exec 3< $f) && echo open; done"
        assert run("--device-cgroup-rule", "c 10:229 rwm", "bb", "sh", "-c", script).stdout.split() == ["open", "open"]
        assert run("bb", "sh", "-c", script, check=False).stdout == ""

    @pytest.mark.parametrize(
        ("flag", "value", "code", "said"),
        [("--device", "/dev/nope", 127,
          'error gathering device information while adding custom device "/dev/nope": no such file or directory'),
         ("--device", "/etc/passwd", 127,
          'error gathering device information while adding custom device "/etc/passwd": not a device node'),
         ("--device", "x", 125, "x is not an absolute path"), ("--device", "/dev/null:x:rw", 125, "x is not an absolute path"),
         ("--device", "/dev/null:/x:rwz", 125, "bad mode specified: rwz"),
         ("--device-cgroup-rule", "c 1:3", 125,
          "invalid argument \"c 1:3\" for \"--device-cgroup-rule\" flag: invalid device cgroup format 'c 1:3'"),
         ("--gpus", "all", 125, 'could not select device driver "" with capabilities: [[gpu]]'),
         ("--storage-opt", "x", 125, "invalid storage option"),
         ("--storage-opt", "size=1g", 125, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
         ("--isolation", "hyperv", 125, "Invalid isolation: \"hyperv\" - linux only supports 'default'"),
         ("--runtime", "nope", 125, "unknown or invalid runtime name: nope"),
         ("--oom-score-adj", "2000", 125, "Invalid value 2000, range for oom score adj is [-1000, 1000]")],
    )  # fmt: skip
    def test_docker_s_words_for_what_cannot_be(self, run: Lamella, flag: str, value: str, code: int, said: str) -> None:
        done = run(flag, value, "bb", "true", check=False)
        assert done.returncode == code and done.stderr.splitlines()[0] == f"lamella: {said}"


class TestOthers:
    def test_oom_score(self, run: Lamella) -> None:
        assert run("--oom-score-adj", "300", "bb", "cat", "/proc/self/oom_score_adj").stdout == "300\n"

    def test_tmpfs_options_are_docker_s_unless_they_are_overridden(self, run: Lamella) -> None:
        seen = mounts(run, "--tmpfs", "/x", "--tmpfs", "/y:size=1m,exec", "--tmpfs", "/z:suid,mode=700")
        assert {"noexec", "nosuid", "nodev"} <= seen["/x"][1]
        assert {"nosuid", "nodev", "size=1024k"} <= seen["/y"][1] and "noexec" not in seen["/y"][1]
        assert {"noexec", "nodev", "mode=700"} <= seen["/z"][1] and "nosuid" not in seen["/z"][1]

    def test_a_tmpfs_with_devices_has_a_device_cgroup_to_guard_it(self, run: Lamella) -> None:
        script = "mknod /x/disk b 7 0 && dd if=/x/disk of=/dev/null count=1"
        done = run("--tmpfs", "/x:dev", "bb", "sh", "-c", script, check=False)
        assert "Operation not permitted" in done.stderr
        assert "nodev" not in mounts(run, "--tmpfs", "/x:dev")["/x"][1]

    def test_privileged_takes_the_walls_away(self, run: Lamella) -> None:
        seen = mounts(run, "--privileged")
        assert "ro" not in seen["/sys"][1] and "/proc/sys" not in seen and "nodev" not in seen["/dev"][1]
        status = run("--privileged", "bb", "grep", "-E", "Seccomp:|CapEff", "/proc/self/status").stdout.split()
        assert int(status[1], 16) & 1 << 21 and status[3] == "0"
        nodes = run("--privileged", "bb", "find", "/dev", "-type", "c").stdout.split()
        assert {"/dev/kmsg", "/dev/fuse"} & set(nodes) and ("/dev/net/tun" in nodes) == os.path.exists("/dev/net/tun")

    def test_inspect_shows_every_wall(self, lamella: Lamella, bb: str) -> None:
        flags = ("--security-opt", "no-new-privileges", "--security-opt", "systempaths=unconfined", "--device", "/dev/fuse", "--ipc",
                 "shareable", "--uts", "host", "--ulimit", "nofile=10:20", "--sysctl", "kernel.msgmax=9", "--runtime", "runc",
                 "--device-cgroup-rule", "c 1:3 rwm", "--oom-score-adj", "100")  # fmt: skip
        id = lamella("create", "--network", "none", *flags, bb).stdout.strip()
        shown = json.loads(lamella("container", "inspect", id).stdout)[0]["HostConfig"]
        assert {name: shown[name] for name in ("SecurityOpt", "IpcMode", "UTSMode", "Runtime", "OomScoreAdj", "DeviceCgroupRules")} == {
            "SecurityOpt": ["no-new-privileges", "systempaths=unconfined"], "IpcMode": "shareable", "UTSMode": "host",
            "Runtime": "runc", "OomScoreAdj": 100, "DeviceCgroupRules": ["c 1:3 rwm"],
        }  # fmt: skip
        assert shown["Ulimits"] == [{"Name": "nofile", "Hard": 20, "Soft": 10}] and shown["Sysctls"] == {
            "kernel.msgmax": "9"
        }
        assert shown["Devices"] == [
            {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}
        ]
        assert shown["MaskedPaths"] == [] == shown["ReadonlyPaths"]


class TestModulesOfOtherKernels:
    """SELinux and AppArmor are not in this kernel: what the runtime is told where they are, as the spec has it."""

    def spec(self, monkeypatch: pytest.MonkeyPatch, isolation: Isolation, enabled: bool) -> dict[str, Any]:
        monkeypatch.setattr("runtime.isolating._enabled", lambda file, word="": enabled)
        process = Process(("x",), (), "/", User(0, 0, (), "/"), ())
        spec = Bundle(process, "/", "h").to_spec()
        apply(spec, replace(CONTAINER, isolation=isolation), Engine("crun", "/usr/bin/crun"))
        return dict(spec["process"])

    def test_apparmor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        walls = Isolation(apparmor="mine")
        assert self.spec(monkeypatch, walls, True)["apparmorProfile"] == "mine"
        assert "apparmorProfile" not in self.spec(monkeypatch, walls, False)

    def test_selinux(self, monkeypatch: pytest.MonkeyPatch) -> None:
        walls = Isolation(labels=("type:svirt_t", "level:s0:c1,c2"))
        assert self.spec(monkeypatch, walls, True)["selinuxLabel"] == "system_u:system_r:svirt_t:s0:c1,c2"
        assert (
            self.spec(monkeypatch, Isolation(labels=("disable",)), True)["selinuxLabel"] == "system_u:system_r:spc_t:s0"
        )
        assert "selinuxLabel" not in self.spec(monkeypatch, walls, False)


CONTAINER = Container(
    id="a" * 64, name="n", image="", image_name="i", created="", entrypoint=(), cmd=("x",), env=(), cwd="/", user="", hostname="h",
    labels={}, network="host", stop_signal="SIGTERM", stop_timeout=None, mounts=(), volumes=(), ports=(), exposed_ports=(),
    add_hosts=(), cap_add=(), cap_drop=(), shm_size=0, seccomp="default", tty=False, stdin_open=False, read_only=False,
    privileged=False, init=False, auto_remove=False,
)  # fmt: skip
