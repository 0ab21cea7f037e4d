"""`lamella cp`: Docker's rules on names, owners and modes, tars both ways, and containers that would lead it astray."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from core.errors import InvalidInput
from runtime.copy_rules import End, target
from tests.conftest import ROOT, Lamella, needs

pytestmark = needs("crun", "conmon")


@pytest.fixture
def box(lamella: Lamella, bb: str) -> str:
    """A running container with a volume at /vol."""
    lamella("run", "-d", "--name", "box", "--network", "none", "-v", "/vol", bb, "sleep", "1000")
    return "box"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory of this machine with one of everything in it."""
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "one").write_text("one\n")
    (top / "sub/two").write_text("two\n")
    (top / "sub/two").chmod(0o4755)
    os.link(top / "one", top / "hard")
    (top / "link").symlink_to("one")
    os.chown(top / "one", 1000, 1001)
    os.utime(top / "one", (10**9, 10**9))
    return top


def inside(lamella: Lamella, script: str) -> str:
    return lamella("exec", "box", "sh", "-c", script).stdout


def said(lamella: Lamella, *words: object) -> str:
    done = lamella("cp", *words, check=False)
    assert done.returncode == 1 and not done.stdout
    return done.stderr.splitlines()[0].removeprefix("lamella: ")


ENDS = [
    # source (a directory where it ends in d), destination, what is there → the path that the source gets
    ("src-d", "to", "directory", "to/src-d"), ("src-d/", "to", "directory", "to/src-d"), ("src-d/.", "to", "directory", "to"),
    ("src-d", "to/", "directory", "to/src-d"), ("src-d", "to/.", "directory", "to/./src-d"), ("src-d", "to", "nothing", "to"),
    ("src-d", "to/", "nothing", "to"), ("src-d/.", "to", "nothing", "to"), ("file", "to", "directory", "to/file"),
    ("file", "to", "nothing", "to"), ("file", "to", "file", "to"), ("/src-d", "/", "directory", "/src-d"),
    ("src-d", "to", "file", "cannot copy directory"), ("file", "to/", "nothing", "no such directory"),
    ("file", "to/.", "nothing", "no such directory"), ("file/", "to", "nothing", "file/: not a directory"),
    ("file", "to/", "file", "to/: not a directory"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "destination", "there", "expected"), ENDS)
def test_what_is_copied_gets_the_name_that_docker_gives_it(
    source: str, destination: str, there: str, expected: str
) -> None:
    ends = End(source, True, "-d" in source), End(destination, there != "nothing", there == "directory")
    try:
        assert target(*ends) == expected
    except InvalidInput as error:
        assert error.message == expected


class TestIntoTheContainer:
    def test_a_tree_arrives_whole_and_belongs_to_root(self, lamella: Lamella, box: str, tree: Path) -> None:
        lamella("cp", tree, "box:/tmp/")
        shown = inside(
            lamella, "cd /tmp/tree; stat -c '%n %u:%g %a %Y' one sub/two; readlink link; stat -c %h hard; cat hard"
        )
        assert shown.splitlines()[0] == "one 0:0 644 1000000000" and " 0:0 4755 " in shown
        assert shown.splitlines()[2:] == ["one", "2", "one"]

    def test_archive_keeps_who_owns_what(self, lamella: Lamella, box: str, tree: Path) -> None:
        lamella("cp", "-a", tree / "one", "box:/tmp/kept")
        assert inside(lamella, "stat -c %u:%g /tmp/kept") == "1000:1001\n"

    def test_the_content_of_a_directory_joins_what_is_there(self, lamella: Lamella, box: str, tree: Path) -> None:
        inside(lamella, "mkdir -p /data/sub; echo old > /data/one; echo mine > /data/sub/own")
        lamella("cp", f"{tree}/.", "box:/data")
        assert inside(lamella, "cd /data; cat one sub/own sub/two") == "one\nmine\ntwo\n"

    def test_a_link_is_followed_on_demand_only(self, lamella: Lamella, box: str, tree: Path) -> None:
        lamella("cp", tree / "link", "box:/tmp/asis")
        lamella("cp", "-L", tree / "link", "box:/tmp/followed")
        assert inside(lamella, "readlink /tmp/asis; cat /tmp/followed") == "one\none\n"

    def test_the_destination_may_be_a_link(self, lamella: Lamella, box: str, tree: Path) -> None:
        inside(lamella, "mkdir /real; ln -s /real /way; ln -s new /tmp/dangling")
        lamella("cp", tree / "one", "box:/way")
        lamella("cp", tree / "one", "box:/tmp/dangling")
        assert inside(lamella, "cat /real/one /tmp/new; readlink /tmp/dangling") == "one\none\nnew\n"

    def test_a_tar_on_stdin_is_unpacked_with_its_owners(
        self, lamella: Lamella, box: str, tree: Path, tmp_path: Path
    ) -> None:
        with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as tar:
            tar.add(tree, "t")
        with (tmp_path / "t.tar.gz").open("rb") as stream:
            lamella("cp", "-", "box:/vol", stdin=stream)
        assert inside(lamella, "stat -c %u:%g /vol/t/one; cat /vol/t/sub/two /vol/t/hard; readlink /vol/t/link") == (
            "1000:1001\ntwo\none\none\n"
        )

    def test_a_tar_leads_nowhere_else(self, lamella: Lamella, box: str, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "t.tar", "w") as tar:
            for name, link in (("../up", None), ("/abs", None), ("out", "/../../.."), ("out/through", None)):
                entry = tarfile.TarInfo(name)
                if link:
                    entry.type, entry.linkname = tarfile.SYMTYPE, link
                tar.addfile(entry, io.BytesIO())
        with (tmp_path / "t.tar").open("rb") as stream:
            lamella("cp", "-", "box:/tmp", stdin=stream)
        assert inside(lamella, "ls /tmp/up /tmp/abs /through") == "/through\n/tmp/abs\n/tmp/up\n"
        assert not Path("/through").exists()

    def test_what_cannot_be_is_said(self, lamella: Lamella, box: str, tree: Path) -> None:
        assert said(lamella, tree / "one", "box:/nodir/x") == "Could not find the file /nodir in container box"
        assert said(lamella, tree, "box:/etc/passwd") == "cannot copy directory"
        assert said(lamella, tree / "nope", "box:/").endswith("nope: no such file or directory")
        assert said(lamella, tree / "one", "box:/dev/null").endswith("must be a directory or a regular file")
        assert said(lamella, "-", "box:/etc/passwd") == 'destination "box:/etc/passwd" must be a directory'
        inside(lamella, "mkdir -p /tmp/tree/one; : > /tmp/sub")
        assert said(lamella, tree, "box:/tmp").startswith("cannot overwrite directory")
        assert said(lamella, tree / "sub", "box:/tmp").startswith("cannot overwrite non-directory")
        assert said(lamella, "box:/a", "box:/b") == "copying between containers is not supported"
        assert said(lamella, "here", "there") == "must specify at least one container source"
        assert said(lamella, tree, "nosuch:/") == "No such container: nosuch"

    def test_a_read_only_root_stays_as_it_is(self, lamella: Lamella, bb: str, tree: Path) -> None:
        lamella("create", "--name", "box", "--read-only", "-v", "/vol", bb, "sleep", "100")
        for _ in range(2):
            assert said(lamella, tree / "one", "box:/etc/") == "container rootfs is marked read-only"
            lamella("cp", tree / "one", "box:/vol/")
            lamella("start", "box")


class TestOutOfTheContainer:
    def test_a_tree_arrives_whole_and_belongs_to_the_caller(self, lamella: Lamella, box: str, tmp_path: Path) -> None:
        inside(
            lamella, "mkdir -p /t/sub; cd /t; echo 1 > one; ln one hard; ln -s one link; chown 7:8 one; chmod 4755 one"
        )
        lamella("cp", "box:/t", tmp_path / "got")
        got = (tmp_path / "got/one").stat()
        assert (got.st_uid, got.st_gid, stat.S_IMODE(got.st_mode), got.st_nlink) == (0, 0, 0o755, 2)
        assert (tmp_path / "got/link").readlink() == Path("one") and (tmp_path / "got/sub").is_dir()
        lamella("cp", "-a", "box:/t/one", tmp_path)
        kept = (tmp_path / "one").stat()
        assert (kept.st_uid, kept.st_gid, stat.S_IMODE(kept.st_mode)) == (7, 8, 0o4755)

    def test_a_tar_on_stdout(self, lamella: Lamella, box: str, store_root: Path, tmp_path: Path) -> None:
        inside(lamella, "mkdir -p /t/sub; echo 1 > /t/one; ln /t/one /t/two; ln -s x /t/link; chown 7:8 /t/one")
        words = [sys.executable, "-m", "lamella", "--root", str(store_root), "cp"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        for source, names in (
            ("/t", ["t", "t/link", "t/one", "t/sub", "t/two"]),
            ("/t/.", [".", "./link", "./one", "./sub", "./two"]),
        ):
            done = subprocess.run([*words, f"box:{source}", "-"], capture_output=True, check=True, env=env)
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
                assert tar.getnames() == names
                one = tar.getmember(names[2])
                assert (one.uid, one.gid, one.size, tar.getmember(names[4]).islnk()) == (7, 8, 2, True)

    def test_what_cannot_be_is_said(self, lamella: Lamella, box: str, tmp_path: Path) -> None:
        assert said(lamella, "box:/nope", tmp_path) == "Could not find the file /nope in container box"
        assert said(lamella, "box:/etc", tmp_path / "no/where").startswith('invalid output path: directory "')
        (tmp_path / "file").write_text("")
        assert said(lamella, "box:/etc", tmp_path / "file") == "cannot copy directory"

    def test_devices_stay_where_they_are(self, lamella: Lamella, box: str, tmp_path: Path) -> None:
        done = lamella("cp", "box:/dev/null", tmp_path / "null")
        assert "devices are copied with -a only" in done.stderr and not (tmp_path / "null").exists()


class TestOneThatDoesNotRun:
    def test_its_files_and_volumes_are_there_both_ways(
        self, lamella: Lamella, box: str, tree: Path, tmp_path: Path
    ) -> None:
        inside(lamella, "echo kept > /vol/kept; echo root > /etc/motd")
        lamella("stop", "-t", "0", "box")
        lamella("cp", "box:/vol/kept", tmp_path / "kept")
        lamella("cp", "box:/etc/motd", tmp_path)
        lamella("cp", f"{tree}/.", "box:/vol")
        lamella("cp", tree / "one", "box:/etc/")
        assert (tmp_path / "kept").read_text() == "kept\n" and (tmp_path / "motd").read_text() == "root\n"
        lamella("start", "box")
        assert inside(lamella, "cat /vol/one /etc/one /vol/sub/two") == "one\none\ntwo\n"

    def test_one_that_never_ran(self, lamella: Lamella, bb: str, tree: Path) -> None:
        lamella("create", "--name", "box", "-v", "/vol", bb, "cat", "/vol/one", "/one")
        lamella("cp", tree / "one", "box:/vol/one")
        lamella("cp", tree / "one", "box:/")
        assert lamella("start", "-a", "box").stdout == "one\none\n"

    def test_nothing_stays_mounted(self, lamella: Lamella, bb: str, tree: Path, store_root: Path) -> None:
        lamella("create", "--name", "box", "-v", "/vol", bb)
        lamella("cp", tree, "box:/vol/")
        assert str(store_root) not in Path("/proc/self/mounts").read_text()


class TestHostileContainers:
    def test_links_lead_nowhere_but_into_the_container(
        self, lamella: Lamella, box: str, tree: Path, tmp_path: Path
    ) -> None:
        inside(lamella, f"ln -s / /r; ln -s ../../../../../../.. /up; mkdir -p {tmp_path}; ln -s /proc/1/root /magic")
        lamella("cp", tree / "one", f"box:/r{tmp_path}/landed")
        lamella("cp", tree / "one", f"box:/up{tmp_path}/landed2")
        assert not (tmp_path / "landed").exists() and not (tmp_path / "landed2").exists()
        assert inside(lamella, f"ls {tmp_path}") == "landed\nlanded2\n"
        (tmp_path / "secret").write_text("secret")
        for way in ("/r", "/up", "/magic"):
            assert lamella("cp", f"box:{way}{tmp_path}/secret", tmp_path / "stolen", check=False).returncode == 1
        assert not (tmp_path / "stolen").exists()

    def test_a_tree_that_turns_into_a_link_while_it_is_copied(self, lamella: Lamella, box: str, tmp_path: Path) -> None:
        outside, source = tmp_path / "outside", tmp_path / "source"
        outside.mkdir()
        (source / "d").mkdir(parents=True)
        for number in range(50):
            (source / f"d/f{number}").write_text("x")
        script = f"mkdir -p {outside}; mkdir -p /w; cd /w; while :; do mkdir -p d; mv d e; ln -s {outside} d; rm d; rm -rf e; done"
        lamella("exec", "-d", "box", "sh", "-c", script)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            lamella("cp", f"{source}/.", "box:/w", check=False)
            lamella("cp", "box:/w/.", tmp_path / "back", check=False)
        assert list(outside.iterdir()) == []
