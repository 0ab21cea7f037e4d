"""Containers in a user namespace of their own: who they are on the machine, and whose files they keep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from core.errors import Unavailable
from core.idmaps import Span, inside, outside
from runtime.own_users import FIRST, SIZE, _free
from tests.conftest import ROOT, Lamella, needs
from tests.suites.supervised import until

pytestmark = needs("crun", "conmon")
SCRIPT = "echo new > /new; chown 1000:1001 /new; id > /v/id; chown 5:6 /v/id; echo ready; exec sleep 1000"


def owner(path: Path) -> tuple[int, int]:
    return path.lstat().st_uid, path.lstat().st_gid


@pytest.fixture
def own(lamella: Lamella, bb: str, tmp_path: Path) -> str:
    """A running container with users of its own, and the volume `kept` at /v."""
    lamella(
        "run", "-d", "--name", "own", "--userns", "auto", "--network", "none", "-v", "kept:/v", bb, "sh", "-c", SCRIPT
    )
    until(lambda: lamella("logs", "own").stdout)
    return "own"


class TestSpans:
    def test_there_and_back(self) -> None:
        spans = [Span(0, 1000, 1), Span(1, 2000, 10)]
        assert [outside(spans, n) for n in (0, 1, 10)] == [1000, 2000, 2009]
        assert [inside(spans, n) for n in (1000, 2000, 2009)] == [0, 1, 10]

    @pytest.mark.parametrize("number", [11, 1000, -1])
    def test_who_is_nobody(self, number: int) -> None:
        with pytest.raises(KeyError):
            outside([Span(0, 1000, 1), Span(1, 2000, 10)], number)

    @pytest.mark.parametrize("text", ["", "1:2", "a:b:c", "0:-1:5", "0:5:0", f"0:{1 << 32}:1"])
    def test_no_span(self, text: str) -> None:
        with pytest.raises(ValueError):
            Span.parse(text)


def test_a_strange_line_of_etc_subuid_is_passed_by_and_no_id_is_given_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_bytes(b"jos\xe9:100000:65536\ncontainers:x:5\ncontainers:4294967000:65536\n")
    assert _free(str(file), 295, []) == 4294967000
    with pytest.raises(Unavailable, match="no 296 IDs left"):
        _free(str(file), 296, [])


SLOW = """
import sys, time
from pathlib import Path
from core.idmaps import namespace

class Slow:
    def __iter__(self):
        print(Path("/proc/thread-self/children").read_text(), flush=True)
        time.sleep(1000)

namespace(Slow(), ())
"""


def test_nobody_waits_on_in_a_namespace_whose_maker_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW], cwd=ROOT, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        waiting = int(maker.stdout.readline())
        maker.kill()
        try:
            assert maker.communicate(timeout=60) == ("", None)  # whoever was left had its output open
        except subprocess.TimeoutExpired:
            os.kill(waiting, signal.SIGKILL)
            raise


class TestFromInside:
    def test_it_is_root_over_what_the_image_has(self, lamella: Lamella, own: str) -> None:
        said = lamella(
            "exec", own, "sh", "-c", "id -u; cat /proc/self/uid_map; stat -c %u:%g /bin /new /v/id /etc/hosts"
        )
        assert said.stdout.split() == ["0", "0", str(FIRST), str(SIZE), "0:0", "1000:1001", "5:6", "0:0"]

    def test_and_nobody_over_the_machine(self, lamella: Lamella, bb: str, tmp_path: Path) -> None:
        """What was not given to it is not its own, and neither are its kernel's settings."""
        (tmp_path / "secret").write_text("x")
        script = "echo 1 > /proc/sys/kernel/core_pattern; mknod /n b 7 0; chown 0 /dev/zero; cat /proc/1/uid_map"
        done = lamella("run", "--rm", "--userns", "auto", "--network", "none", bb, "sh", "-c", script)
        assert done.stderr.count("Operation not permitted") + done.stderr.count("Read-only") == 3, done.stderr

    def test_listens_below_1024_in_a_network(self, lamella: Lamella, bb: str) -> None:
        script = "nc -l -p 80 & sleep 0.2; netstat -ltn"
        assert (
            ":80 " in lamella("run", "--rm", "--userns", "auto", "--network", "bridge", bb, "sh", "-c", script).stdout
        )

    def test_with_runc(self, lamella: Lamella, bb: str) -> None:
        flags = ("--userns", "auto", "--runtime", "runc", "-e", "A=1")
        if subprocess.run(["which", "runc"], capture_output=True, check=False).returncode:
            pytest.skip("needs runc")
        assert lamella("run", "--rm", *flags, "--network", "none", bb, "id", "-u").stdout == "0\n"
        refused = lamella("run", "--rm", *flags, "--network", "bridge", bb, "true", check=False)
        assert refused.returncode == 125 and "use --runtime crun" in refused.stderr


class TestFromOutside:
    def test_its_processes_are_of_other_users(self, lamella: Lamella, own: str) -> None:
        pid = lamella("inspect", "-f", "{{.State.Pid}}", own).stdout.strip()
        assert owner(Path(f"/proc/{pid}")) == (FIRST, FIRST)

    def test_files_keep_the_ids_that_it_sees(self, lamella: Lamella, own: str, store_root: Path) -> None:
        assert owner(next((store_root / "volumes").glob("*/_data/id"))) == (5, 6)
        assert owner(next((store_root / "snapshots").glob("*/upper/new"))) == (1000, 1001)
        assert "A /new" in lamella("diff", own).stdout

    def test_what_is_made_of_it_does_too(self, lamella: Lamella, own: str, tmp_path: Path) -> None:
        lamella("export", own, "-o", tmp_path / "own.tar")
        with tarfile.open(tmp_path / "own.tar") as tar:
            owners = {entry.name: (entry.uid, entry.gid) for entry in tar}
        assert owners["new"] == (1000, 1001) and owners["bin/busybox"] == (0, 0)
        lamella("commit", own, "made")
        shown = lamella("run", "--rm", "--network", "none", "made", "stat", "-c", "%u:%g", "/new", "/bin").stdout
        assert shown == "1000:1001\n0:0\n"

    @pytest.mark.parametrize("running", [True, False])
    def test_cp(self, lamella: Lamella, own: str, tmp_path: Path, running: bool) -> None:
        if not running:
            lamella("stop", "-t", "0", own)
        lamella("cp", "-a", f"{own}:/new", tmp_path / "new")
        lamella("cp", f"{own}:/v/id", tmp_path / "mine")
        assert owner(tmp_path / "new") == (1000, 1001) and owner(tmp_path / "mine") == (os.geteuid(), os.getegid())
        os.chown(tmp_path / "mine", 7, 8)
        lamella("cp", "-a", tmp_path / "mine", f"{own}:/theirs")
        lamella("cp", tmp_path / "mine", f"{own}:/v/roots")
        if not running:
            lamella("start", own)
        shown = lamella("exec", own, "stat", "-c", "%u:%g", "/theirs", "/v/roots", "/new").stdout
        assert shown == "7:8\n0:0\n1000:1001\n"

    def test_cp_of_who_is_nobody_there(self, lamella: Lamella, own: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        os.chown(tmp_path / "file", SIZE, 0)
        refused = lamella("cp", "-a", tmp_path / "file", f"{own}:/", check=False)
        assert refused.returncode == 1 and f"the container has no user {SIZE}" in refused.stderr


class TestFlags:
    def test_each_has_ids_that_no_other_has(self, lamella: Lamella, own: str, bb: str) -> None:
        show = ("--network", "none", bb, "cat", "/proc/self/uid_map")
        other = lamella("run", "--rm", "--userns", "auto:size=5000", *show).stdout.split()
        assert other == ["0", str(FIRST + SIZE), "5000"]
        assert lamella("run", "--rm", "--userns", f"container:{own}", *show).stdout.split()[1] == str(FIRST)
        assert lamella("run", "--rm", "--userns", "host", *show).stdout.split()[1] == "0"

    def test_those_that_were_asked_for(self, lamella: Lamella, bb: str) -> None:
        script = "cat /proc/self/uid_map /proc/self/gid_map"
        maps = ("--uidmap", "0:700000:100", "--uidmap", "1000:800000:1", "--gidmap", "0:900000:50")
        said = lamella("run", "--rm", *maps, "--network", "none", bb, "sh", "-c", script).stdout.split()
        assert said == ["0", "700000", "100", "1000", "800000", "1", "0", "900000", "50"]

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (("--userns", "auto", "--privileged"), "privileged mode is incompatible with user namespaces"),
            (
                ("--userns", "auto", "--pid", "host"),
                "cannot share another PID namespace when user namespaces are enabled",
            ),
            (("--userns", "keep-id"), "keep-id is only supported in rootless mode"),
            (("--userns", "sometimes"), "--userns: invalid USER mode"),
            (("--userns", "container:nonesuch"), "No such container: nonesuch"),
            (("--userns", "auto", "--uidmap", "0:1:1"), "conflicting options: --userns and --uidmap or --gidmap"),
            (("--uidmap", "5:1000:1"), "invalid mapping of IDs: 5:1000:1"),
            (("--uidmap", "x"), "invalid mapping of IDs: x"),
        ],
    )
    def test_refused(self, lamella: Lamella, bb: str, store_root: Path, flags: tuple[str, ...], said: str) -> None:
        done = lamella("run", "--rm", *flags, bb, "true", check=False)
        assert done.returncode == 125 and said in done.stderr, done.stderr
        assert not list((store_root / "containers").iterdir())


@pytest.mark.parametrize("flags", ["-u 1000", "--userns auto"])
def test_the_machine_s_null_device_is_given_to_nobody(bb: str, store_root: Path, tmp_path: Path, flags: str) -> None:
    """Runtimes give a process's streams to its user, who may then change their modes. Here another node stands for it."""
    node = tmp_path / "null"
    os.mknod(node, 0o20666, os.makedev(1, 3))
    node.chmod(0o666)
    commands = (
        f"run -d --name job {flags} --network none {bb} sleep 1000", "exec -d job true", "exec -i job true", "exec job true",
        f"run --rm -i {flags} --network none {bb} true",
    )  # fmt: skip
    script = "; ".join(f"{sys.executable} -m lamella {words} </dev/null >/dev/null; echo $?" for words in commands)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"mount --bind {node} /dev/null; {script}; stat -c %u /dev/null"],
        env={**os.environ, "LAMELLA_ROOT": str(store_root)}, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["0"] * 6, done.stderr
