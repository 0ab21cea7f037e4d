"""Volumes in real containers: what they start with, who shares them, who takes them away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.copy_up import fill, finish, put
from store.store import Store
from store.volumes import Volume
from tests.conftest import ROOT, Lamella, needs

pytestmark = needs("busybox", "crun", "conmon")
MakeImage = Callable[..., str]
Run = Callable[..., str]


@pytest.fixture
def declared(lamella: Lamella, bb: str) -> str:
    """An image with files, an owner and a mode of its own at /srv, which it declares as a volume."""
    script = (
        "mkdir -p /srv/d; echo hi > /srv/d/hi; ln -s d/hi /srv/link; ln /srv/d/hi /srv/d/hard; chown -R 7:8 /srv;"
        "chmod 2750 /srv; chmod 4755 /srv/d/hi"
    )
    lamella("run", "--name", "seed", "--network", "none", bb, "sh", "-c", script)
    lamella("commit", "--change", "VOLUME /srv", "seed", "declared")
    lamella("rm", "seed")
    return "declared"


def names(lamella: Lamella) -> list[str]:
    return lamella("volume", "ls", "-q", "--filter", "driver=local").stdout.split()


class TestNamed:
    def test_what_one_writes_the_next_reads(self, run: Run, lamella: Lamella) -> None:
        run("-v", "data:/one", "echo hi > /one/file")
        assert run("-v", "data:/two:ro", "cat /two/file; touch /two/x 2>&1 || true").startswith(
            "hi\ntouch: /two/x: Read-only"
        )
        assert names(lamella) == ["data"]

    def test_containers_share_it_while_they_run(self, run: Run, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "aa", "--network", "none", "-v", "data:/d", bb, "sleep", "100")
        run("-v", "data:/d", "echo hi > /d/file")
        assert lamella("exec", "aa", "cat", "/d/file").stdout == "hi\n"

    @pytest.mark.parametrize("flags", [("-v", "data:/srv"), ("--mount", "source=data,target=/srv")])
    def test_an_empty_one_gets_what_the_image_has(self, run: Run, declared: str, flags: tuple[str, str]) -> None:
        said = run(
            *flags, "stat -c '%u:%g:%a' /srv /srv/d/hi; stat -c '%h' /srv/d/hi; readlink /srv/link", image=declared
        )
        assert said.split() == ["7:8:2750", "7:8:4755", "2", "d/hi"]
        assert run("-v", "data:/x", "echo two > /x/two; ls /x").split() == ["d", "link", "two"]
        assert run("-v", "data:/srv", "ls /srv", image=declared).split() == ["d", "link", "two"]

    def test_extended_attributes_are_copied_up(
        self, run: Run, lamella: Lamella, declared: str, store_root: Path
    ) -> None:
        lamella("create", "--name", "cc", "-v", "other:/srv", declared, "true")
        with Store.open(store_root) as store:
            source = store.volumes.path("other")
            os.setxattr(source / "d/hi", "user.colour", b"red")
            os.setxattr(source, "user.top", b"1")
            store.volumes.add(Volume("copy"))
            fill(store.volumes.home("copy"), source, sync=False)
            assert os.getxattr(store.volumes.path("copy") / "d/hi", "user.colour") == b"red"
            assert os.getxattr(store.volumes.path("copy"), "user.top") == b"1"

    def test_nocopy_leaves_it_empty(self, run: Run, declared: str) -> None:
        assert run("-v", "data:/srv:nocopy", "ls /srv", image=declared) == ""
        assert run("--mount", "source=more,target=/srv,volume-nocopy", "ls /srv", image=declared) == ""

    def test_copy_up_happens_at_create(self, lamella: Lamella, declared: str, store_root: Path) -> None:
        lamella("create", "-v", "data:/srv", declared, "true")
        assert (store_root / "volumes/data/_data/d/hi").read_text() == "hi\n"

    def test_a_subpath_is_part_of_it(self, run: Run) -> None:
        run("-v", "data:/d", "mkdir -p /d/a/b; echo hi > /d/a/b/f; ln -s a/b /d/in")
        assert run("--mount", "source=data,target=/x,volume-subpath=a/b", "cat /x/f") == "hi\n"
        assert run("--mount", "source=data,target=/x,volume-subpath=in", "cat /x/f") == "hi\n"
        assert run("--mount", "source=data,target=/f,volume-subpath=a/b/f", "cat /f") == "hi\n"

    def test_it_is_created_with_labels_and_options(self, run: Run, lamella: Lamella) -> None:
        mount = '"volume-label=a=x,y"'
        assert run("--mount", f"type=volume,source=data,target=/d,{mount},volume-opt=type=tmpfs,volume-opt=device=tmpfs",
                   "grep -c '/d tmpfs' /proc/mounts") == "1\n"  # fmt: skip
        described = json.loads(lamella("volume", "inspect", "data").stdout)[0]
        assert described["Labels"] == {"a": "x,y"} and described["Options"] == {"type": "tmpfs", "device": "tmpfs"}


class TestAnonymous:
    def test_rm_with_v_takes_what_was_made_for_it_and_nothing_else(self, lamella: Lamella, declared: str) -> None:
        lamella("run", "--name", "aa", "--network", "none", "-v", "/extra", "-v", "data:/d", declared, "true")
        assert len(names(lamella)) == 3
        lamella("rm", "-v", "aa")
        assert names(lamella) == ["data"]

    def test_rm_leaves_them_to_prune(self, lamella: Lamella, declared: str) -> None:
        lamella("run", "--name", "aa", "--network", "none", declared, "true")
        lamella("rm", "aa")
        (name,) = names(lamella)
        assert lamella("volume", "prune", "-f").stdout.startswith(
            f"Deleted Volumes:\n{name}\n\nTotal reclaimed space: "
        )
        assert names(lamella) == []

    @pytest.mark.parametrize("flags", [["--rm"], ["--rm", "-d"]])
    def test_rm_at_the_end_takes_them(
        self, lamella: Lamella, declared: str, flags: list[str], store_root: Path
    ) -> None:
        lamella("run", *flags, "--name", "aa", "--network", "none", "-v", "data:/d", declared, "true")
        for _ in range(100):
            if not list((store_root / "containers").glob("*")):
                break
            time.sleep(0.1)
        assert names(lamella) == ["data"] and os.listdir(store_root / "volumes") == ["data"]

    def test_a_mount_at_its_place_comes_instead(
        self, run: Run, lamella: Lamella, declared: str, tmp_path: Path
    ) -> None:
        run("-v", f"{tmp_path}/host:/srv", "touch /srv/mine", image=declared)
        assert os.listdir(tmp_path / "host") == ["mine"] and names(lamella) == []

    def test_what_another_container_has_as_well_stays(self, lamella: Lamella, declared: str) -> None:
        lamella("create", "--name", "aa", declared, "true")
        lamella("create", "--name", "bb", "--volumes-from", "aa", declared, "true")
        lamella("rm", "-v", "aa")
        assert len(names(lamella)) == 1
        lamella("rm", "-v", "bb")
        assert len(names(lamella)) == 0

    def test_a_container_that_cannot_be_made_leaves_none(self, lamella: Lamella, declared: str) -> None:
        lamella("create", "--name", "taken", declared, "true")
        assert lamella("create", "--name", "taken", declared, "true", check=False).returncode == 1
        assert len(names(lamella)) == 1


class TestFromOthers:
    def test_all_of_them_at_their_places(self, run: Run, lamella: Lamella, bb: str, tmp_path: Path) -> None:
        (tmp_path / "host").write_text("host\n")
        lamella("create", "--name", "aa", "-v", "data:/d", "-v", f"{tmp_path}:/h:ro", "-v", "/anon", bb, "true")
        assert run("--volumes-from", "aa", "echo x > /d/x; cat /h/host; touch /h/y 2>&1; touch /anon/z") == (
            "host\ntouch: /h/y: Read-only file system\n"
        )
        assert (
            run("--volumes-from", "aa:ro", "cat /d/x; touch /d/y 2>&1 || true")
            == "x\ntouch: /d/y: Read-only file system\n"
        )

    def test_a_mount_of_its_own_is_stronger(self, run: Run, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "aa", "-v", "data:/d", bb, "true")
        run("-v", "mine:/d", "--volumes-from", "aa", "touch /d/x")
        assert run("-v", "data:/d", "ls /d") == "" and run("-v", "mine:/d", "ls /d") == "x\n"


class TestDriverOptions:
    FLAGS = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=700,noexec")

    def test_a_tmpfs_is_shared_by_all_who_run_and_gone_with_the_last(self, run: Run, lamella: Lamella, bb: str) -> None:
        lamella("volume", "create", *self.FLAGS, "tmp")
        lamella("run", "-d", "--name", "aa", "--network", "none", "-v", "tmp:/t", bb, "sleep", "100")
        assert run(
            "-v", "tmp:/q", "stat -c %a /q; echo hi > /q/f; grep -o ' /q tmpfs.*noexec.*size=1024k' /proc/mounts"
        ).startswith("700\n /q")
        assert lamella("exec", "aa", "cat", "/t/f").stdout == "hi\n"
        assert run("--volumes-from", "aa", "cat /t/f") == "hi\n"
        assert "volumes/tmp" not in Path("/proc/self/mounts").read_text()
        lamella("rm", "-f", "aa")
        assert run("-v", "tmp:/q", "ls /q") == ""

    def test_a_bind_is_a_directory_of_the_host(self, run: Run, lamella: Lamella, tmp_path: Path) -> None:
        lamella("volume", "create", "-o", "type=none", "-o", f"device={tmp_path}", "-o", "o=bind", "host")
        run("-v", "host:/d", "echo hi > /d/f")
        assert (tmp_path / "f").read_text() == "hi\n"
        lamella("volume", "create", "-o", "type=none", "-o", f"device={tmp_path}", "-o", "o=bind,ro", "safe")
        assert run("-v", "safe:/d", "cat /d/f; touch /d/g 2>&1 || true") == "hi\ntouch: /d/g: Read-only file system\n"
        lamella("volume", "rm", "host", "safe")
        assert (tmp_path / "f").exists()

    def test_copy_up_goes_where_it_is_mounted(self, run: Run, lamella: Lamella, declared: str, tmp_path: Path) -> None:
        (tmp_path / "host").mkdir()
        lamella("volume", "create", "-o", "type=none", "-o", f"device={tmp_path}/host", "-o", "o=bind", "host")
        run("-v", "host:/srv", "true", image=declared)
        assert (tmp_path / "host/d/hi").read_text() == "hi\n"

    def test_what_the_kernel_refuses_is_said(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella("volume", "create", "-o", "type=ext4", "-o", "device=/dev/nosuch", "bad")
        for flags in (["--rm"], ["-d"]):
            done = lamella("run", *flags, "--network", "none", "-v", "bad:/x", bb, "true", check=False)
            assert done.returncode == 125
            path = store_root / "volumes/bad/_data"
            assert (
                f"error while mounting volume '{path}': failed to mount local volume: mount /dev/nosuch:{path}"
                in done.stderr
            )


class TestBinds:
    def test_a_missing_directory_is_made_by_v_and_not_by_mount(
        self, run: Run, lamella: Lamella, bb: str, tmp_path: Path
    ) -> None:
        run("-v", f"{tmp_path}/made:/d", "touch /d/x")
        assert (tmp_path / "made/x").exists()
        done = lamella("run", "--rm", "--mount", f"type=bind,source={tmp_path}/no,target=/d", bb, "true", check=False)
        assert done.returncode == 125 and f"bind source path does not exist: {tmp_path}/no" in done.stderr

    @pytest.mark.parametrize("runtime", ["crun", "runc"])
    def test_read_only_goes_for_what_is_mounted_below(
        self, runtime: str, lamella: Lamella, bb: str, tmp_path: Path
    ) -> None:
        (tmp_path / "below").mkdir()
        script = (
            'mount -t tmpfs t "$1/below"; shift; "$@" --rm --runtime {0} --network none {1} bb sh -c'
            " 'touch /d/below/x 2>/dev/null && echo written || echo refused'"
        )
        for flags, said in {
            f"-v {tmp_path}:/d:ro": "refused",
            f"--mount type=bind,source={tmp_path},target=/d,readonly,bind-recursive=writable": "written",
            f"--mount type=bind,source={tmp_path},target=/d,readonly,bind-recursive=readonly": "refused",
            f"-v {tmp_path}:/d": "written",
        }.items():
            command = [
                "unshare",
                "--mount",
                "sh",
                "-c",
                script.format(runtime, flags),
                "sh",
                str(tmp_path),
                *lamella_command(),
            ]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env(tmp_path))
            assert done.stdout == f"{said}\n", (flags, done.stderr)

    @pytest.mark.parametrize("runtime", ["crun", "runc", "chroot"])
    def test_a_single_file_is_mounted_read_only(self, runtime: str, lamella: Lamella, bb: str, tmp_path: Path) -> None:
        (tmp_path / "settings").write_text("a\n")
        words = ("--rm", "--runtime", runtime, "--network", "none", "-v", f"{tmp_path}/settings:/etc/settings:ro")
        script = "cat /etc/settings; echo b 2>/dev/null >>/etc/settings || echo refused"
        assert lamella("run", *words, bb, "sh", "-c", script).stdout == "a\nrefused\n"
        assert (tmp_path / "settings").read_text() == "a\n"

    def test_nonrecursive_does_not_show_what_is_mounted_below(self, bb: str, tmp_path: Path) -> None:
        (tmp_path / "below").mkdir()
        script = 'mount -t tmpfs t "$1/below"; touch "$1/below/x"; shift; "$@" --rm --network none --mount type=bind,source=$0,target=/d,bind-recursive=disabled bb ls /d/below'
        command = ["unshare", "--mount", "sh", "-c", script, str(tmp_path), str(tmp_path), *lamella_command()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env(tmp_path))
        assert (done.stdout, done.returncode) == ("", 0), done.stderr

    @pytest.mark.parametrize(("word", "seen"), [("rslave", "x\n"), ("rprivate", "")])
    def test_a_slave_sees_what_the_host_mounts_later(self, bb: str, tmp_path: Path, word: str, seen: str) -> None:
        (tmp_path / "below").mkdir()
        script = (
            'top=$1; shift; "$@" -d --name aa --network none -v "$top:/d:$0" bb sleep 100 >/dev/null;'
            ' mount -t tmpfs t "$top/below"; touch "$top/below/x"; shift; ${SAY} exec aa ls /d/below; ${SAY} rm -f aa >/dev/null'
        )
        say = " ".join(lamella_command()[:-1])
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "shared",
            "sh",
            "-c",
            script,
            word,
            str(tmp_path),
            *lamella_command(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env(tmp_path) | {"SAY": say})
        assert done.stdout == seen, done.stderr


def lamella_command() -> list[str]:
    return [sys.executable, "-m", "lamella", "run"]


def env(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "LAMELLA_ROOT": str(tmp_path / "store"), "PYTHONPATH": str(ROOT)}


class TestImages:
    def test_an_image_is_mounted_read_only(self, run: Run, lamella: Lamella, declared: str) -> None:
        script = "cat /img/srv/d/hi; touch /img/x 2>&1 || true"
        assert (
            run("--mount", "type=image,source=declared,target=/img", script)
            == "hi\ntouch: /img/x: Read-only file system\n"
        )
        assert run("--mount", "type=image,source=declared,target=/img,image-subpath=srv/d", "ls /img") == "hard\nhi\n"

    def test_it_cannot_be_removed_meanwhile(self, lamella: Lamella, bb: str, declared: str) -> None:
        lamella(
            "create", "--name", "aa", "--mount", "type=image,source=declared,target=/img", bb, "cat", "/img/srv/d/hi"
        )
        refused = lamella("rmi", "declared", check=False)
        assert (
            refused.returncode == 1
            and "container" in refused.stderr
            and "is using its referenced image" in refused.stderr
        )
        lamella("rmi", "-f", "declared")
        assert lamella("start", "-a", "aa").stdout == "hi\n"  # its layers stay
        lamella("rm", "aa")


def test_what_a_container_mounts_is_noted(run: Run, lamella: Lamella) -> None:
    run("-v", "data:/d:ro", "true")
    said = lamella(
        "events", "--since", "1h", "--until", "0s", "--filter", "type=volume", "--format", "{{json .}}"
    ).stdout
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["Action"] for event in events] == ["create", "mount", "unmount"]
    about = events[1]["Actor"]["Attributes"]
    assert (about["destination"], about["read/write"], about["driver"]) == ("/d", "false", "local")


class TestKilled:
    def test_a_copy_that_was_killed_is_made_again_or_finished(self, store_root: Path, tmp_path: Path) -> None:
        (tmp_path / "source/d").mkdir(parents=True)
        (tmp_path / "source/f").write_text("whole")
        with Store.open(store_root) as store:
            store.volumes.add(Volume("data"))
            home = store.volumes.home("data")
            (home / "copying").mkdir()
            (home / "copying/half").write_text("ha")
            fill(home, tmp_path / "source", sync=False)
            assert sorted(os.listdir(home / "_data")) == ["d", "f"] and sorted(os.listdir(home)) == ["_data", "lock"]
            (home / "copied").mkdir()
            (home / "copied/late").write_text("moved")
            (home / "copied/f").write_text("not over what is there")
            finish(home)
            assert (home / "_data/late").read_text() == "moved" and (home / "_data/f").read_text() == "whole"

    def test_a_copy_that_fails_leaves_the_volume_empty(self, store_root: Path) -> None:
        def fail(place: Path) -> None:
            place.mkdir()
            (place / "half").write_text("ha")
            raise OSError(28, "No space left on device")

        with Store.open(store_root) as store:
            store.volumes.add(Volume("data"))
            with pytest.raises(OSError, match="No space"):
                put(store.volumes.home("data"), fail, sync=False)
            assert os.listdir(store.volumes.path("data")) == [] and os.listdir(store.volumes.home("data")) == ["_data"]

    def test_killed_anywhere_nothing_half_made_stays(self, lamella: Lamella, declared: str, store_root: Path) -> None:
        """`create` with an anonymous and a named volume, killed at 25 instants."""
        for number in range(25):
            process = subprocess.Popen(
                [*lamella_command()[:-1], "create", "--name", f"k{number}", "-v", f"v{number}:/srv", "-v", "/more", declared, "true"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            time.sleep(0.05 + number * 0.015)
            process.send_signal(signal.SIGKILL)
            process.wait()
        lamella("ps")  # sweeps
        made = lamella("ps", "-aq").stdout.split()
        anonymous = [name for name in names(lamella) if len(name) == 64]
        assert len(anonymous) == len(made)
        for number in range(25):
            copied = store_root / f"volumes/v{number}/_data/d/hi"
            lamella("rm", "-f", f"k{number}")
            if (store_root / f"volumes/v{number}/_data").exists():
                lamella("run", "--rm", "--network", "none", "-v", f"v{number}:/srv", declared, "true")
                assert copied.read_text() == "hi\n"
        with Store.open(store_root) as store:
            assert store.volumes.strays()[1] == []

    def test_a_killed_container_lets_its_volume_go(self, run: Run, lamella: Lamella, bb: str) -> None:
        lamella(
            "run", "-d", "--rm", "--name", "aa", "--network", "none", "-v", "data:/d", "-v", "/anon", bb, "sleep", "100"
        )
        keeper = json.loads(lamella("inspect", "aa").stdout)[0]["State"]["Pid"]
        os.kill(keeper, signal.SIGKILL)
        for _ in range(100):
            if not lamella("ps", "-aq").stdout:
                break
            time.sleep(0.1)
        assert names(lamella) == ["data"]
        lamella("volume", "rm", "data")
