"""What a container may use: applied by this host's real cgroups, refused or warned of in Docker's words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.value import Value
from runtime import cgroups
from runtime.limit_checks import numbers, settle
from runtime.limits import Limits
from tests.conftest import ROOT, Lamella, needs

CASES = ROOT / "testdata" / "limits"
MIB = 1 << 20
have_limits = pytest.mark.skipif(
    not {"memory", "pids", "cpu", "cpuset"} <= cgroups.controllers(), reason="needs cgroups that can be written"
)
PIDS = "" if cgroups.is_v2() else "pids/"  # where in a tree of this host's that counts processes
# What a container sees of the same limits, below /sys/fs/cgroup.
SEEN_V1 = {
    "memory/memory.limit_in_bytes": str(32 * MIB), "memory/memory.memsw.limit_in_bytes": str(48 * MIB),
    "memory/memory.soft_limit_in_bytes": str(16 * MIB), "pids/pids.max": "12",
    "cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.shares": "512", "cpuset/cpuset.cpus": "0",
}  # fmt: skip
SEEN_V2 = {
    "memory.max": str(32 * MIB), "memory.swap.max": str(16 * MIB), "memory.low": str(16 * MIB), "pids.max": "12",
    "cpu.max": "50000 100000", "cpu.weight": "20", "cpuset.cpus": "0",
}  # fmt: skip


def own_cgroups(store_root: Path) -> list[Path]:
    from runtime.state import cgroups_of, state_directory

    names = cgroups_of(state_directory(store_root))
    return [place for name in names for place in cgroups.places(f"{cgroups.ALL}/{name}")]


@needs("crun", "conmon")
@have_limits
class TestApplied:
    """In a real container on this host's controllers, v1 or v2; by crun, and by runc."""

    @pytest.fixture(params=["crun", "runc"])
    def run(self, lamella: Lamella, bb: str, request: pytest.FixtureRequest) -> Lamella:
        def start(*args: object, check: bool = True, **options: object) -> Any:
            words = (*args[: args.index("bb")], "bb", *args[args.index("bb") + 1 :])
            return lamella(
                "run", "--rm", "--runtime", request.param, "--network", "none", *words, check=check, **options
            )

        return start

    def test_it_sees_the_limits_it_was_given(self, run: Lamella) -> None:
        files = SEEN_V2 if cgroups.is_v2() else SEEN_V1
        flags = ("-m", "32m", "--memory-swap", "48m", "--memory-reservation", "16m",
                 "--pids-limit", "12", "--cpus", "0.5", "-c", "512", "--cpuset-cpus", "0")  # fmt: skip
        done = run(*flags, "bb", "cat", *(f"/sys/fs/cgroup/{name}" for name in files))
        assert done.stdout.splitlines() == list(files.values())

    @pytest.mark.skipif(cgroups.is_v2(), reason="v2 has none")
    def test_it_sees_its_swappiness(self, run: Lamella) -> None:
        done = run("-m", "32m", "--memory-swappiness", "10", "bb", "cat", "/sys/fs/cgroup/memory/memory.swappiness")
        assert done.stdout == "10\n"

    def test_who_takes_too_much_memory_is_killed(self, run: Lamella) -> None:
        assert run("-m", "16m", "--memory-swap", "16m", "bb", "tail", "/dev/zero", check=False).returncode == 137

    def test_who_forks_too_much_is_stopped(self, run: Lamella) -> None:
        script = "i=0; while [ $i -lt 30 ]; do sleep 1 & i=$((i+1)); done; wait"
        done = run("--pids-limit", "16", "bb", "sh", "-c", script, check=False)
        assert "can't fork" in done.stderr
        assert "can't fork" not in run("--pids-limit", "-1", "bb", "sh", "-c", script).stderr

    def test_processors_are_given_out_by_time(self, run: Lamella) -> None:
        file = "cpu.stat" if cgroups.is_v2() else "cpu/cpu.stat"
        spin = f"i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; grep -E 'nr_throttled' /sys/fs/cgroup/{file}"
        throttled = int(run("--cpus", "0.1", "bb", "sh", "-c", spin).stdout.split()[1])
        assert throttled > 0

    def test_devices_are_slowed_down(self, run: Lamella) -> None:
        device = next((f"/dev/{name}" for name in ("vda", "sda", "nvme0n1") if Path(f"/dev/{name}").exists()), None)
        if device is None:
            pytest.skip("needs a disk")
        file = "io.max" if cgroups.is_v2() else "blkio/blkio.throttle.write_bps_device"
        done = run("--device-write-bps", f"{device}:1mb", "bb", "cat", f"/sys/fs/cgroup/{file}")
        assert str(MIB) in done.stdout.replace("wbps=", "").split()

    def test_its_cgroup_is_read_only_and_its_own(self, run: Lamella) -> None:
        file = "cgroup.freeze" if cgroups.is_v2() else "memory/notify_on_release"
        script = f"cd /sys/fs/cgroup; echo 1 > {file}; ls $(dirname {file})"
        done = run("-m", "16m", "bb", "sh", "-c", script, check=False)
        assert "Read-only" in done.stderr and "lamella" not in done.stdout

    def test_its_cgroup_is_gone_with_it(self, run: Lamella, store_root: Path) -> None:
        run("-m", "16m", "bb", "true")
        assert not own_cgroups(store_root)

    def test_a_parent_that_is_named(self, run: Lamella) -> None:
        parent = f"lamella-test-{os.urandom(4).hex()}"
        try:
            flags = ("--cgroup-parent", parent, "--cgroupns", "host", "-m", "16m")
            done = run(*flags, "bb", "cat", "/proc/self/cgroup")
            assert f":/{parent}/" in done.stdout
            assert all(not list(place.glob("*/")) for place in cgroups.places(f"/{parent}"))
        finally:
            cgroups.remove(f"/{parent}")


@needs("crun", "conmon")
@have_limits
class TestLifeCycle:
    def test_inspect_says_what_is_limited_and_that_memory_was_short(self, lamella: Lamella, bb: str) -> None:
        flags = ("-m", "16m", "--memory-swap", "16m", "--cpus", "1.5", "--pids-limit", "9")
        lamella("run", "--name", "greedy", "--network", "none", *flags, bb, "tail", "/dev/zero", check=False)
        shown = json.loads(lamella("container", "inspect", "greedy").stdout)[0]
        host = shown["HostConfig"]
        assert shown["State"]["OOMKilled"] and shown["State"]["ExitCode"] == 137
        assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (
            16 * MIB,
            16 * MIB,
            1_500_000_000,
            9,
        )

    def test_exec_is_in_the_same_cgroup(self, lamella: Lamella, bb: str) -> None:
        flags = ("--network", "none", "--cgroupns", "host", "-m", "16m")
        id = lamella("run", "-d", *flags, bb, "sleep", "100").stdout.strip()
        assert id in lamella("exec", id, "grep", "-E", "memory|^0:", "/proc/self/cgroup").stdout

    def test_a_stopped_one_starts_again_with_its_limits(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella(
            "run",
            "--name",
            "again",
            "--network",
            "none",
            "--pids-limit",
            "7",
            bb,
            "cat",
            f"/sys/fs/cgroup/{PIDS}pids.max",
        )
        assert not own_cgroups(store_root)
        assert lamella("start", "-a", "again").stdout == "7\n"

    def test_after_kill_9_of_the_keeper_the_next_command_removes_the_cgroup(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
        id = lamella("run", "-d", "--network", "none", "-m", "16m", bb, "sleep", "100").stdout.strip()
        assert own_cgroups(store_root)
        os.kill(int((store_root / "containers" / id / "state").read_text().split()[2]), signal.SIGKILL)
        time.sleep(0.1)
        lamella("ps", "-a")
        assert not own_cgroups(store_root)

    def test_a_cgroup_without_a_container_is_swept_and_one_of_another_store_is_not(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
        from runtime.state import state_directory

        name = f"{state_directory(store_root).name}-{'ab' * 32}"
        other = f"{'0' * 12}-{'cd' * 32}"
        for each in (name, other):
            (cgroups.ROOT / f"{PIDS}lamella" / each).mkdir(parents=True)
        try:
            lamella("ps")
            left = os.listdir(cgroups.ROOT / f"{PIDS}lamella")
            assert name not in left and other in left
        finally:
            cgroups.remove(f"/lamella/{other}")

    def test_cgroups_that_killed_steps_left_are_swept_and_those_of_living_ones_are_not(self) -> None:
        name = f"/lamella-step-{os.urandom(4).hex()}"
        sleeper = subprocess.Popen(["sleep", "30"])
        try:
            for each in (name, f"{name}-young", f"{name}-busy"):
                place = cgroups.ROOT / f"{PIDS}{each.lstrip('/')}"
                place.mkdir()
                if "young" not in each:
                    os.utime(place, (1, 1))
            (cgroups.ROOT / f"{PIDS}{name.lstrip('/')}-busy/cgroup.procs").write_text(str(sleeper.pid))
            cgroups.sweep_short_lived()
            assert [bool(cgroups.places(f"{name}{rest}")) for rest in ("", "-young", "-busy")] == [False, True, True]
        finally:
            sleeper.kill()
            sleeper.wait()
            for rest in ("", "-young", "-busy"):
                cgroups.remove(f"{name}{rest}")

    def test_usage_is_read_where_it_is_kept(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        from runtime.state import state_directory

        id = lamella("run", "-d", "--network", "none", "-m", "16m", bb, "sleep", "100").stdout.strip()
        used = cgroups.usage(f"{cgroups.ALL}/{state_directory(store_root).name}-{id}")
        assert used and used.memory_limit == 16 * MIB and 0 < used.memory < 16 * MIB
        assert used.cpu > 0 and used.processes == 1
        assert cgroups.usage("/lamella/none") is None


# What this host can do does not matter to values that no host could take.
REFUSED = [
    ("-m 5m", "Minimum memory limit allowed is 6MB"),
    ("-m x", 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''),
    ("--memory-swap 10m", "You should always set the Memory limit when using Memoryswap limit, see usage"),
    ("-m 10m --memory-swap 8m", "Minimum memoryswap limit should be larger than memory limit, see usage"),
    ("--memory-reservation 1m", "Minimum memory reservation allowed is 6MB"),
    ("-m 20m --memory-reservation 30m", "Minimum memory limit can not be less than memory reservation limit, see usage"),
    ("--memory-swappiness 101", "invalid value: 101. Valid memory swappiness range is 0-100"),
    ("--cpus abc", 'invalid argument "abc" for "--cpus" flag: failed to parse abc as a rational number'),
    ("--cpus 1.0000000001", 'invalid argument "1.0000000001" for "--cpus" flag: value is too precise'),
    ("--cpus 9999", f"Range of CPUs is from 0.01 to {os.cpu_count()}.00, as there are only {os.cpu_count()} CPUs available"),
    ("--cpus -1", f"Range of CPUs is from 0.01 to {os.cpu_count()}.00, as there are only {os.cpu_count()} CPUs available"),
    ("--cpus 1 --cpu-period 1000", "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
    ("--cpus 1 --cpu-quota 1000", "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
    ("--cpu-period 10", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
    ("--cpu-quota 10", "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
    ("--cpu-shares 1", "the minimum allowed cpu-shares is 2"),
    ("--cpu-shares 262145", "the maximum allowed cpu-shares is 262144"),
    ("--blkio-weight-device /dev/null:5",
     'invalid argument "/dev/null:5" for "--blkio-weight-device" flag: invalid weight for device: /dev/null:5'),
    ("--device-read-bps x", 'invalid argument "x" for "--device-read-bps" flag: bad format: x'),
    ("--device-read-bps /dev/null:x",
     'invalid argument "/dev/null:x" for "--device-read-bps" flag: invalid rate for device: /dev/null:x. The correct format is '
     "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"),
    ("--device-write-iops /dev/null:-1",
     'invalid argument "/dev/null:-1" for "--device-write-iops" flag: invalid rate for device: /dev/null:-1. The correct format '
     "is <device-path>:<number>. Number must be a positive integer"),
]  # fmt: skip


@needs("crun")
@pytest.mark.parametrize(("flags", "said"), REFUSED, ids=[flags for flags, _ in REFUSED])
def test_values_that_make_no_sense_are_refused_in_docker_s_words(lamella: Lamella, flags: str, said: str) -> None:
    done = lamella("create", "--pull=never", *flags.split(), "nosuch", check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (125, f"lamella: {said}")


class Host(Value):
    """A /sys/fs/cgroup made for a test."""

    root: Path

    def v1(self, **files: tuple[str, ...]) -> None:
        for controller, names in files.items():
            (self.root / controller).mkdir()
            for name in ("cgroup.procs", *names):
                (self.root / controller / name).write_text("0-3" if name.startswith("cpuset") else "")

    def v2(self, controllers: str) -> None:
        (self.root / "cgroup.controllers").write_text(controllers)
        (self.root / "cpuset.cpus.effective").write_text("0-3")
        for name in ("cgroup.procs", "cgroup.subtree_control"):
            (self.root / name).write_text("")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    return Host(tmp_path)


class TestWhatTheHostCannot:
    def test_without_any_cgroup_all_is_discarded_in_one_warning(self, host: Host) -> None:
        kept, warnings = settle(Limits(memory=64 * MIB, nano_cpus=10**9, pids_limit=5))
        assert kept == Limits()
        assert warnings == ["no cgroup of this host can be written: discarded --memory, --cpus, --pids-limit"]

    def test_a_v1_host_is_told_what_it_lacks(self, host: Host) -> None:
        host.v1(memory=("memory.limit_in_bytes",), cpu=("cpu.shares",))
        kept, warnings = settle(Limits(memory=64 * MIB, nano_cpus=10**9, pids_limit=5, cpu_shares=100))
        assert kept == Limits(memory=64 * MIB, memory_swap=-1, cpu_shares=100)
        assert [warning.split(",")[0] for warning in warnings] == [
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            "NanoCPUs can not be set", "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap.",
        ]  # fmt: skip

    def test_a_v2_host_keeps_everything_but_what_only_v1_had(self, host: Host) -> None:
        host.v2("cpuset cpu io memory pids")
        wanted = Limits(
            memory=64 * MIB,
            memory_swappiness=5,
            oom_kill_disable=True,
            pids_limit=5,
            blkio_weight=100,
            cpuset_cpus="1-2",
        )
        kept, warnings = settle(wanted)
        assert kept == Limits(memory=64 * MIB, pids_limit=5, blkio_weight=100, cpuset_cpus="1-2")
        assert len(warnings) == 2 and "swappiness" in warnings[0] and "OomKillDisable" in warnings[1]

    def test_processors_that_are_not_there(self, host: Host) -> None:
        host.v2("cpuset")
        with pytest.raises(InvalidInput, match="Requested CPUs are not available - requested 2,7, available: 0-3"):
            settle(Limits(cpuset_cpus="2,7"))
        with pytest.raises(InvalidInput, match="Invalid value x for cpuset cpus: invalid format: x"):
            settle(Limits(cpuset_cpus="x"))
        with pytest.raises(InvalidInput, match="Range of blkio weight is from 10 to 1000"):
            host.v2("cpuset io")
            settle(Limits(blkio_weight=5))

    def test_no_memory_limit_and_no_killer(self, host: Host) -> None:
        host.v1(memory=("memory.limit_in_bytes", "memory.oom_control", "memory.memsw.limit_in_bytes"))
        assert "can result in the system running out of resources" in settle(Limits(oom_kill_disable=True))[1][0]

    def test_usage_of_a_v2_host(self, host: Host) -> None:
        host.v2("memory")
        place = host.root / "lamella/x"
        place.mkdir(parents=True)
        for name, text in {
            "cgroup.procs": "", "memory.current": "5000", "memory.max": "max", "memory.stat": "anon 1\ninactive_file 1000\n",
            "cpu.stat": "usage_usec 7\n", "pids.current": "3", "io.stat": "254:0 rbytes=10 wbytes=20 rios=1\n7:0 rbytes=1 wbytes=2",
            "memory.events": "low 0\noom_kill 2\n",
        }.items():  # fmt: skip
            (place / name).write_text(text)
        assert cgroups.usage("/lamella/x") == cgroups.Usage(4000, 0, 7000, 3, 11, 22)
        assert cgroups.oom_kills("/lamella/x") == 2


@pytest.mark.parametrize("case", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_the_spec_says_what_was_asked(case: Path) -> None:
    """Golden `linux.resources` (config-linux.md), the same words for v1 and v2: runtimes translate."""
    told = json.loads(case.read_text())
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in told["limits"].items()}
    assert Limits(**fields).to_spec() == told["resources"]


def test_lists_of_numbers() -> None:
    assert numbers("0-3,7") == {0, 1, 2, 3, 7}
    for wrong in ("", "x", "1-", "-1", "1,,2", "0-99999"):
        with pytest.raises(ValueError, match=wrong or "invalid|^$"):
            numbers(wrong)
