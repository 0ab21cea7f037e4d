"""The runtimes that start containers: each is held to the same suite; those that are not here, to what they are told."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from core.errors import InvalidInput
from core.value import replace
from runtime.capabilities import DEFAULT
from runtime.engine import Engine
from runtime.isolating import apply
from runtime.isolation import Isolation
from runtime.limits import Limits
from runtime.probe import CHROOT
from runtime.runtimes import engine_for, find
from runtime.spec import Bundle, Process
from runtime.user import User
from tests.conftest import ROOT, Lamella, needs
from tests.runtime.test_isolation import CONTAINER
from tests.suites.runtimes import HostKernelSuite, RuntimeSuite


@needs("crun")
class TestCrun(HostKernelSuite):
    name = "crun"


@needs("runc")
class TestRunc(HostKernelSuite):
    name = "runc"


class Youki(HostKernelSuite):
    """Not one of Debian's packages: `cargo install youki`. Where it is, it is held to the suite, too."""

    name = shutil.which("youki") or ""

    @needs("conmon")
    def test_what_would_be_executed_without_a_filter_is_refused(self, lamella: Lamella, bb: str) -> None:
        words = ("run", "-d", "--runtime", self.name, "--network", "none")
        lamella(*words, "--name", "web", bb, "sleep", "1000")
        done = lamella("exec", "web", "true", check=False)
        assert done.returncode == 125 and "without its system call filter" in done.stderr
        lamella(*words, "--name", "open", "--security-opt", "seccomp=unconfined", bb, "sleep", "1000")
        assert lamella("exec", "open", "echo", "in").stdout == "in\n"


if Youki.name:
    TestYouki = Youki


@needs()
class TestChroot(HostKernelSuite):
    name = "chroot"


@needs("runsc", "conmon")
class TestRunsc(RuntimeSuite):
    """gVisor."""

    name = "runsc"

    def test_in_the_background(self, lamella: Lamella, bb: str) -> None:
        words = ("-d", "--runtime", "runsc", "-m", "64m", "--network", "none")
        id = lamella("run", *words, bb, "sh", "-c", "echo started; sleep 100").stdout.strip()
        assert "4.4.0" in lamella("exec", id, "cat", "/proc/version").stdout
        assert lamella("logs", id).stdout == "started\n"
        lamella("rm", "-f", id)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with programs called like runtimes, the only place that is looked at."""
    for name in ("crun", "runc", "runsc", "youki", "kata-runtime"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr("runtime.runtimes.PLACES", (str(tmp_path),))
    return tmp_path


class TestChoice:
    @pytest.mark.parametrize("name", ["runc", "runsc", "youki", "kata-runtime"])
    def test_by_name_or_by_path(self, programs: Path, name: str) -> None:
        expected = Engine(name, f"{programs}/{name}", (), True)
        assert find(name) == expected == find(f"{programs}/{name}")

    def test_the_embedded_one(self) -> None:
        assert find("chroot") is CHROOT

    @pytest.mark.parametrize("name", ["nope", "/no/such", "../runc"])
    def test_one_that_is_not_there(self, programs: Path, name: str) -> None:
        with pytest.raises(InvalidInput, match=f"unknown or invalid runtime name: {name}"):
            find(name)

    def test_a_plain_container_takes_the_usual_one_and_a_limited_one_gets_a_cgroup(
        self, programs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runtime.cgroups.controllers", lambda: frozenset({"memory"}))
        usual = Engine("crun", "/usr/bin/crun", ("--cgroup-manager=disabled",))
        limited = Engine("crun", "/usr/bin/crun", ("--cgroup-manager=cgroupfs",), True)
        assert engine_for(CONTAINER, usual) is usual
        assert engine_for(replace(CONTAINER, limits=Limits(pids_limit=5)), usual) == limited
        assert engine_for(replace(CONTAINER, privileged=True), usual) == limited
        assert engine_for(replace(CONTAINER, isolation=Isolation(runtime="runc")), usual).name == "runc"
        walls = replace(CONTAINER, isolation=Isolation(runtime="runsc"), network="none")
        assert engine_for(walls, usual).options == ("--network=none",)
        monkeypatch.setattr("runtime.cgroups.controllers", lambda: frozenset())
        assert engine_for(replace(CONTAINER, limits=Limits(pids_limit=5)), usual) is usual

    @needs("runc")
    def test_by_the_environment(self, lamella: Lamella, bb: str) -> None:
        id = lamella("create", bb, env={"LAMELLA_RUNTIME": "runc"}).stdout.strip()
        assert json.loads(lamella("container", "inspect", id).stdout)[0]["HostConfig"]["Runtime"] == "runc"


def described(**changes: object) -> dict[str, object]:
    """The config.json of a container as every OCI runtime gets it, where nothing of this machine is in it."""
    process = Process(("/bin/app", "-x"), ("A=1",), "/srv", User(1000, 1001, (50, 1001), "/home/web"), DEFAULT)
    container = replace(CONTAINER, network="none", **changes)  # type: ignore[arg-type]
    spec = Bundle(process, "/rootfs", "box", network="none", cgroup="/lamella/x", devices="/devices").to_spec()
    apply(spec, container, Engine("runsc", "/usr/bin/runsc", (), True))
    return spec


@pytest.mark.parametrize("case", ["plain", "limited", "loose"])
def test_what_runsc_and_youki_are_told(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not on this machine: the spec they would get is compared with the kept one, word by word."""
    monkeypatch.setattr("runtime.capabilities.available", list)
    monkeypatch.setattr("os.path.exists", lambda path: False)
    monkeypatch.setattr("os.path.isdir", lambda path: path in ("/dev/shm", "/dev/mqueue"))
    monkeypatch.setattr("runtime.cgroups.ROOT", Path("/nonesuch"))
    changes: dict[str, dict[str, object]] = {
        "plain": {},
        "limited": {"limits": Limits(memory=64 << 20, nano_cpus=5 * 10**8, pids_limit=100, cpuset_cpus="0")},
        "loose": {"isolation": Isolation(no_new_privileges=True, ipc="host", uts="host", cgroupns="private", unmasks=("ALL",),
                                         sysctls=("net.core.somaxconn=99",), oom_score_adj=5, device_rules=("c 10:229 rwm",))},
    }  # fmt: skip
    got = json.loads(json.dumps(described(**changes[case])))
    kept = ROOT / "testdata" / "specs" / f"{case}.json"
    if os.environ.get("LAMELLA_KEEP_GOLDEN"):
        kept.write_text(json.dumps(got, indent=1) + "\n")
    assert got == json.loads(kept.read_text())


@pytest.mark.parametrize(
    ("v2", "asked", "own"), [(True, "", True), (True, "host", False), (False, "", False), (False, "private", True)]
)
def test_where_all_cgroups_are_one_tree_its_own_is_the_root(
    v2: bool, asked: str, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mount of a v2 host would show every cgroup of it, that of v1 trees shows the container's."""
    monkeypatch.setattr("runtime.cgroups.ROOT", tmp_path)
    if v2:
        (tmp_path / "cgroup.controllers").write_text("memory")
    spec = described(limits=Limits(memory=64 << 20), isolation=Isolation(cgroupns=asked))
    assert ({"type": "cgroup"} in spec["linux"]["namespaces"]) == own  # type: ignore[index]
