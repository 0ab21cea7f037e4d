"""What containers have become: diff, commit and export, running and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.inspect import children
from runtime.probe import installed
from runtime.state import state_directory
from runtime.status import read_status
from tests.conftest import ROOT, Lamella, needs
from tests.runtime.test_containers import until

pytestmark = needs("crun", "conmon")

STEPS = """
echo x > /new; echo more >> /etc/passwd; mkdir -p /a/b; touch /a/b/c; rm /etc/group; touch /root/x; rm /root/x
chmod 700 /tmp; ln /new /hard; echo z > /vol/data; mkdir -p /bin/sub/deep; rmdir /bin/sub/deep
"""
CHANGES = [
    "A /a", "A /a/b", "A /a/b/c", "C /bin", "A /bin/sub", "C /etc", "D /etc/group", "C /etc/passwd", "A /hard", "A /new",
    "C /tmp", "A /vol",
]  # fmt: skip


@pytest.fixture
def image(make_image: object) -> str:
    """With settings of all kinds, and a volume."""
    return make_image(  # type: ignore[operator, no-any-return]
        "app", env=("FOO=bar", "PATH=/bin"), cmd=("sh", "-c", "true"), volumes=("/vol",), labels={"a": "1"},
        exposed_ports=("80/tcp",), on_build=("RUN true",),
    )  # fmt: skip


@pytest.fixture
def stopped(lamella: Lamella, image: str) -> str:
    """A container that has done STEPS and ended."""
    lamella("run", "--name", "box", "--network", "none", image, "sh", "-c", STEPS)
    return "box"


@pytest.fixture
def running(lamella: Lamella, image: str) -> str:
    """One that has done STEPS and goes on."""
    lamella("run", "-d", "--name", "box", "--network", "none", image, "sh", "-c", f"{STEPS}\necho ready; sleep 100")
    until(lambda: "ready" in lamella("logs", "box").stdout)
    return "box"


@pytest.fixture(params=["stopped", "running"])
def container(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def inspected(lamella: Lamella, image: str) -> dict[str, object]:
    found = json.loads(lamella("image", "inspect", image).stdout)[0]
    assert isinstance(found, dict)
    return found


class TestDiff:
    def test_changes_are_listed_as_docker_lists_them(self, lamella: Lamella, container: str) -> None:
        assert lamella("diff", container).stdout.splitlines() == CHANGES

    def test_what_has_not_run_has_changed_nothing(self, lamella: Lamella, image: str) -> None:
        lamella("create", "--name", "box", image)
        assert lamella("container", "diff", "box").stdout == ""

    def test_what_lamella_puts_there_is_no_change(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "--name", "box", "--network", "none", bb, "true")
        assert lamella("diff", "box").stdout == ""

    def test_json_and_templates(self, lamella: Lamella, stopped: str) -> None:
        found = json.loads(lamella("diff", "--format", "json", stopped).stdout)
        assert found["deleted"] == ["/etc/group"] and "/tmp" in found["changed"] and "/a/b/c" in found["added"]
        assert lamella("diff", "--format", "{{.Kind}}:{{.Path}}", stopped).stdout.splitlines()[0] == "A:/a"

    def test_a_container_that_keeps_changing_can_be_asked(self, lamella: Lamella, bb: str) -> None:
        script = "while :; do mkdir -p /x/y/z; touch /x/y/z/1; rm -r /x; done"
        lamella("run", "-d", "--name", "box", "--network", "none", bb, "sh", "-c", script)
        for _ in range(5):
            done = lamella("diff", "box", check=False)
            assert done.returncode == 0 or "changes too fast" in done.stderr

    def test_names_are_shown_whatever_they_are(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "--name", "box", "--network", "none", bb, "sh", "-c", r"touch $(printf '/\377\303\266')")
        done = lamella("diff", "box", errors="surrogateescape")
        assert done.stdout == "A /\udcff\xf6\n"


class TestCommit:
    def test_an_image_of_a_container_shows_what_the_container_showed(self, lamella: Lamella, container: str) -> None:
        id = lamella("commit", container, "out:1").stdout
        assert id == f"{inspected(lamella, 'out:1')['Id']}\n"
        script = "cat /new /hard /etc/passwd; ls /a/b /vol /root /bin/sub; ls -d /etc/group; stat -c %a /tmp; stat -c %h /new"
        done = lamella("run", "--rm", "--network", "none", "out:1", "sh", "-c", script, check=False)
        words = done.stdout.split()
        assert words[:2] == ["x", "x"] and words[-2:] == ["700", "2"] and "more" in words and "c" in words
        assert "data" not in words, "a volume is no part of an image"
        assert "/etc/group: No such file" in done.stderr

    def test_the_container_goes_on_with_what_it_has_written(self, lamella: Lamella, running: str) -> None:
        lamella("commit", running, "out:1")
        assert lamella("exec", running, "cat", "/new").stdout == "x\n"
        lamella("exec", running, "sh", "-c", "echo later >> /new")
        assert lamella("run", "--rm", "--network", "none", "out:1", "cat", "/new").stdout == "x\n"
        assert lamella("diff", running).stdout.splitlines() == CHANGES

    def test_its_layer_holds_nothing_but_the_changes(self, lamella: Lamella, container: str, store_root: Path) -> None:
        lamella("commit", container, "out:1")
        top = Path(inspected(lamella, "out:1")["GraphDriver"]["Data"]["UpperDir"])  # type: ignore[index]
        names = sorted(os.fspath(path.relative_to(top)) for path in top.rglob("*"))
        listed = [line[3:] for line in lamella("diff", container).stdout.splitlines()]
        assert [name for name in names if name != "root"] == sorted(listed)

    def test_settings_are_merged_as_docker_does(self, lamella: Lamella, image: str) -> None:
        lamella(
            "create", "--name", "box", "--network", "none", "--hostname", "h", "-e", "FOO=baz", "-e", "A=1", "-l", "b=2", "-w", "/w",
            "-u", "1000", "-p", "8080:8081", "--stop-signal", "SIGINT", image, "sleep", "5",
        )  # fmt: skip
        lamella("commit", "-m", "why", "-a", "me", "box", "out")
        found = inspected(lamella, "out")
        config = found["Config"]
        assert isinstance(config, dict)
        assert sorted(config.pop("Env")) == ["A=1", "FOO=baz", "PATH=/bin"]
        assert config == {
            "User": "1000", "Cmd": ["sleep", "5"], "Volumes": {"/vol": {}}, "WorkingDir": "/w", "Entrypoint": None,
            "Labels": {"a": "1", "b": "2"}, "ExposedPorts": {"80/tcp": {}, "8081/tcp": {}}, "StopSignal": "SIGINT",
        }  # fmt: skip
        assert (found["Comment"], found["Author"]) == ("why", "me")
        assert found["Parent"] == inspected(lamella, image)["Id"]
        assert (
            lamella("history", "--format", "{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "out").stdout == "sleep 5|0B|why\n"
        )
        assert len(found["RootFS"]["Layers"]) == 1  # type: ignore[index]

    def test_what_is_not_said_stays_unsaid(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "box", bb)
        lamella("commit", "box", "out")
        empty = {"User": "", "Env": None, "Volumes": None, "WorkingDir": "", "Entrypoint": None, "Labels": None}
        assert inspected(lamella, "out")["Config"] == {**empty, "Cmd": ["/bin/sh"]}

    def test_changes_are_dockerfile_instructions(self, lamella: Lamella, stopped: str) -> None:
        lamella("commit", "-c", "ENV B=$FOO", "--change", 'CMD ["a"]', "-c", "WORKDIR sub", stopped, "out")
        config = inspected(lamella, "out")["Config"]
        assert isinstance(config, dict)
        assert "B=bar" in config["Env"] and config["Cmd"] == ["a"] and config["WorkingDir"] == "/sub"
        done = lamella("commit", "-c", "RUN x", stopped, check=False)
        assert done.returncode == 1 and "RUN is not a valid change command" in done.stderr

    def test_a_tag_moves_and_the_same_layer_is_kept_once(
        self, lamella: Lamella, running: str, store_root: Path
    ) -> None:
        for flags in ([], ["--pause=false"], ["-p=false"]):
            lamella("commit", *flags, running, "out")
        assert len(lamella("images", "-q", "-f", "dangling=true").stdout.split()) == 2
        assert len(list((store_root / "layers").iterdir())) == 2 and not list((store_root / "tmp").iterdir())

    def test_what_is_not_there_is_said(self, lamella: Lamella, bb: str) -> None:
        done = lamella("commit", "nothere", check=False)
        assert done.returncode == 1 and "No such container: nothere" in done.stderr
        done = lamella("commit", "x", "BAD:x", check=False)
        assert done.returncode == 1 and "lower" in done.stderr

    def test_an_image_that_was_removed_can_still_be_built_on(self, lamella: Lamella, stopped: str) -> None:
        lamella("rmi", "-f", "app")
        lamella("commit", stopped, "out")
        assert lamella("run", "--rm", "--network", "none", "out", "cat", "/new").stdout == "x\n"
        assert inspected(lamella, "out")["Parent"] == ""


COUNT = "wc -l < /a1; wc -l < /a3"


def a_writer(lamella: Lamella, image: str) -> None:
    """A container whose two files never differ by more than a line, unless they are copied while it runs."""
    script = "dd if=/dev/zero of=/a2 bs=1M count=40 2>/dev/null; echo ready; while :; do echo >> /a1; echo >> /a3; done"
    lamella("run", "-d", "--name", "box", "--network", "none", image, "sh", "-c", script)
    until(lambda: "ready" in lamella("logs", "box").stdout)


def states(root: Path) -> set[str]:
    """What the container's processes do: the letters of proc(5)."""
    from runtime.freeze import processes
    from runtime.inspect import first_process

    (directory,) = (root / "containers").iterdir()
    first = first_process(read_status(directory).keeper)
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in processes(first)}


class TestPause:
    def test_nothing_runs_while_it_is_copied_and_all_goes_on_after(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
        a_writer(lamella, bb)
        lamella("exec", "-d", "box", "sh", "-c", "exec sleep 50 >/dev/null 2>&1")
        counts = []
        for number in range(2):
            lamella("commit", "box", f"out:{number}")
            one, two = lamella("run", "--rm", "--network", "none", f"out:{number}", "sh", "-c", COUNT).stdout.split()
            assert int(one) - int(two) in (0, 1)
            counts.append(int(one))
        assert len(set(counts)) == 2, "it stood still after a commit"
        assert not {"T", "t"} & states(store_root)

    @pytest.fixture
    def commit(self, lamella: Lamella, bb: str, store_root: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A commit that takes its time, of a container that stands still by now."""
        script = "dd if=/dev/zero of=/big bs=1M count=300 2>/dev/null; echo ready; while :; do :; done"
        lamella("run", "-d", "--name", "box", "--network", "none", bb, "sh", "-c", script)
        until(lambda: "ready" in lamella("logs", "box").stdout)
        process = subprocess.Popen(
            [sys.executable, "-m", "lamella", "commit", "box"], cwd=ROOT, stdout=subprocess.DEVNULL,
            env={**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        until(lambda: process.poll() is not None or states(store_root) == {"T"})
        yield process
        process.kill()
        process.wait()

    def test_a_commit_that_is_killed_leaves_nothing_standing_still(
        self, lamella: Lamella, commit: subprocess.Popen[bytes], store_root: Path
    ) -> None:
        commit.kill()
        commit.wait()
        until(lambda: not {"T", "t"} & states(store_root))
        lamella("image", "prune", "-f")
        assert not list((store_root / "tmp").iterdir())

    def test_nor_does_one_whose_guard_is_killed_too(
        self, lamella: Lamella, commit: subprocess.Popen[bytes], store_root: Path
    ) -> None:
        (guard,) = children(commit.pid)
        os.kill(guard, signal.SIGKILL)
        commit.kill()
        commit.wait()
        assert states(store_root) == {"T"}, "nobody is there to let it go"
        lamella("ps")
        until(lambda: not {"T", "t"} & states(store_root))

    def test_who_pauses_it_meanwhile_finds_it_paused_afterwards(
        self, lamella: Lamella, commit: subprocess.Popen[bytes], store_root: Path
    ) -> None:
        commit.send_signal(signal.SIGSTOP)
        pause = subprocess.Popen(
            [sys.executable, "-m", "lamella", "--root", store_root, "pause", "box"], stdout=subprocess.DEVNULL, cwd=ROOT
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            pause.wait(1)  # it waits for its turn
        commit.send_signal(signal.SIGCONT)
        assert (commit.wait(), pause.wait()) == (0, 0) and states(store_root) == {"T"}
        lamella("unpause", "box")
        assert not {"T", "t"} & states(store_root)

    def test_a_freezer_is_used_where_there_is_one(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        paths = {name: path for name, path, _ in installed()}
        if "runc" not in paths:
            pytest.skip("needs runc")
        engine = {"name": "runc", "path": paths["runc"], "options": [], "cgroups": True}
        (state_directory(store_root) / "runtime.json").write_text(
            json.dumps({"present": installed(), "engine": engine})
        )
        a_writer(lamella, bb)
        for number in range(2):
            lamella("commit", "box", f"out:{number}")
            one, two = lamella("run", "--rm", "--network", "none", f"out:{number}", "sh", "-c", COUNT).stdout.split()
            assert int(one) - int(two) in (0, 1)
        first = lamella("exec", "box", "wc", "-c", "/a1").stdout
        until(lambda: lamella("exec", "box", "wc", "-c", "/a1").stdout != first)


class TestExport:
    def test_the_whole_root_is_there_and_no_volume(self, lamella: Lamella, container: str, tmp_path: Path) -> None:
        lamella("export", "-o", tmp_path / "c.tar", container)
        with tarfile.open(tmp_path / "c.tar") as tar:
            found = {member.name: member for member in tar}
            assert tar.extractfile("new").read() == b"x\n"  # type: ignore[union-attr]
        names = list(found)
        assert names == sorted(names, key=lambda name: name.encode().split(b"/"))
        assert {"bin/busybox", "a/b/c", "vol", "etc/passwd"} <= found.keys()
        assert not {"vol/data", "etc/group"} & found.keys() and not [
            n for n in names if n.startswith(("proc/", "sys/"))
        ]
        assert found["new"].islnk() and found["new"].linkname == "hard" and found["bin/sh"].issym()
        assert found["tmp"].mode == 0o700

    def test_the_same_files_give_the_same_bytes(self, lamella: Lamella, stopped: str, tmp_path: Path) -> None:
        for name in ("one", "two"):
            lamella("export", "-o", tmp_path / name, stopped)
        first, second = ((tmp_path / name).read_bytes() for name in ("one", "two"))
        assert first == second and len(first) > 1_000_000

    def test_a_terminal_is_refused(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "box", bb)
        terminal, ours = os.openpty()
        done = subprocess.run(
            [sys.executable, "-m", "lamella", "export", "box"], cwd=ROOT, stdout=ours, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        os.close(terminal)
        os.close(ours)
        assert done.returncode == 1 and "cowardly refusing to save to a terminal" in done.stderr

    def test_what_changes_meanwhile_does_not_matter(self, lamella: Lamella, bb: str, tmp_path: Path) -> None:
        script = "mkdir /x; cd /x; while :; do mkdir -p d/e; echo 1 > d/e/f; seq 9999 > g; ln -s g h; rm -r d g h; done"
        lamella("run", "-d", "--name", "box", "--network", "none", bb, "sh", "-c", script)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            lamella("export", "-o", tmp_path / "c.tar", "box")
            with tarfile.open(tmp_path / "c.tar") as tar:
                assert "bin/busybox" in tar.getnames()

    def test_nothing_stays_mounted(self, lamella: Lamella, container: str, store_root: Path) -> None:
        lamella("export", "-o", os.devnull, container)
        assert str(store_root) not in Path("/proc/mounts").read_text()
        if read_status(next((store_root / "containers").iterdir())).running:
            assert lamella("exec", container, "cat", "/new").stdout == "x\n"
        else:
            assert lamella("start", container).returncode == 0

    def test_files_of_odd_kinds_go_along(self, lamella: Lamella, bb: str, store_root: Path, tmp_path: Path) -> None:
        lamella(
            "run", "--name", "box", "--network", "none", bb, "sh", "-c", "mkfifo /fifo; mknod /null c 1 3; touch /.wh.x"
        )
        (snapshot,) = (store_root / "snapshots").iterdir()
        os.setxattr(snapshot / "upper/.wh.x", "user.note", b"kept")
        lamella("export", "-o", tmp_path / "c.tar", "box")
        with tarfile.open(tmp_path / "c.tar") as tar:
            assert tar.getmember("fifo").isfifo() and tar.getmember("null").ischr()
            assert tar.getmember(".wh.x").pax_headers["SCHILY.xattr.user.note"] == "kept"
