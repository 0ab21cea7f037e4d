"""COPY's and ADD's corners, one by one (reference: Dockerfile, "COPY"): each row is copied, and then looked at by a RUN."""

from __future__ import annotations

import os
import socket
import stat
import tarfile
from pathlib import Path

import pytest

from builder.ops.modes import parse_mode
from core.errors import InvalidInput
from tests.conftest import needs

pytestmark = needs("crun")
FILES = {"f": "f", "g": "g", "d/one.py": "1", "d/two.txt": "2", "d/sub/three.py": "3", "d/sub/deep/four.txt": "4"}

# the instruction, a line for the shell after it, and what that prints
COPIES = [
    ("COPY ../../f /x", "cat /x", "f"),
    ("COPY /f/ /x", "cat /x", "f"),
    ("COPY ./d/../f /x", "cat /x", "f"),
    ("COPY f nope-*.txt /x/", "ls /x", "f"),
    ("COPY nope-*.txt /x/", "ls -d /x 2>/dev/null; echo passed", "passed"),
    ("COPY d/*.py d/*.txt /x/", "ls /x", "one.py two.txt"),
    ("COPY d/s?b /x", "ls /x", "deep three.py"),
    ("COPY d* /x", "ls /x", "one.py sub two.txt"),
    ("COPY [\"f\", \"/with blank\"]", "cat '/with blank'", "f"),
    ("COPY f /tmp", "cat /tmp/f; stat -c %a /tmp", "f1777"),
    ("COPY f g /tmp/", "cat /tmp/f /tmp/g", "fg"),
    ("COPY f /new/deep/dir/", "stat -c '%n %a %u:%g' /new /new/deep/dir /new/deep/dir/f",
     "/new 755 0:0 /new/deep/dir 755 0:0 /new/deep/dir/f 644 0:0"),
    ("COPY --chown=5:6 --chmod=0750 f /new/deep/f", "stat -c '%n %a %u:%g' /new /new/deep /new/deep/f",
     "/new 750 5:6 /new/deep 750 5:6 /new/deep/f 750 5:6"),
    ("COPY --chmod=u=rwX,go=rX d /x", "stat -c '%n %a' /x /x/one.py /x/sub", "/x 755 /x/one.py 644 /x/sub 755"),
    ("COPY --chown=web f /x", "stat -c %u:%g /x", "1000:1001"),
    ("COPY --chown=web: f /x", "stat -c %u:%g /x", "1000:1001"),
    ("COPY --chown=web:50 f /x", "stat -c %u:%g /x", "1000:50"),
    ("COPY --chown=7:staff f /x", "stat -c %u:%g /x", "7:50"),
    ("COPY --chown=1000 f /x", "stat -c %u:%g /x", "1000:1000"),
    ("COPY --exclude=*.txt d /x", "find /x -type f | sort", "/x/one.py /x/sub/deep/four.txt /x/sub/three.py"),
    ("COPY --exclude=**/*.txt --exclude=sub/*.py d /x", "find /x -type f", "/x/one.py"),
    ("COPY --exclude=**/*.txt --exclude=!sub/deep/four.txt d /x", "find /x -type f | sort",
     "/x/one.py /x/sub/deep/four.txt /x/sub/three.py"),
    ("COPY --exclude=sub d /x", "ls /x", "one.py two.txt"),
    ("COPY --exclude=f f /x", "cat /x", "f"),
    ("COPY --parents d/sub/three.py f /x/", "find /x -type f | sort", "/x/d/sub/three.py /x/f"),
    ("COPY --parents d/./sub/three.py /x/", "find /x -type f", "/x/sub/three.py"),
    ("COPY --parents d/./**/*.txt /x/", "find /x -type f | sort", "/x/sub/deep/four.txt /x/two.txt"),
    ("COPY --parents **/*.py /x/", "find /x -type f | sort", "/x/d/one.py /x/d/sub/three.py"),
    ("COPY --parents --exclude=**/two.txt d /x/", "find /x -type f | sort",
     "/x/d/one.py /x/d/sub/deep/four.txt /x/d/sub/three.py"),
    ("COPY --parents nope-*.txt f /x/", "find /x -type f", "/x/f"),
    ("ADD d /x", "ls /x", "one.py sub two.txt"),
    ("ADD --chown=5:6 --chmod=600 f /x/", "stat -c '%n %a %u:%g' /x /x/f", "/x 600 5:6 /x/f 600 5:6"),
]  # fmt: skip


def test_what_is_copied_lands_where_the_reference_says(build) -> None:
    """All rows in one build: each in a stage of its own."""
    stages = [
        f"FROM bb AS s{n}\n{line}\nRUN ({look}) | tr '\\n' ' ' >/said\n" for n, (line, look, _) in enumerate(COPIES)
    ]
    last = ["FROM bb\n", *(f"COPY --from=s{n} /said /said/{n:02d}\n" for n in range(len(COPIES)))]
    last += ["RUN for f in /said/*; do cat $f; echo; done\n"]
    done = build("".join(stages + last), files=FILES)
    said = [line.strip() for line in done.printed()[-len(COPIES) :]]
    assert said == [expected for _, _, expected in COPIES]


REFUSED = [
    ("COPY nope /x", "nope: not found"),
    ("COPY f g /x", "several sources need a directory"),
    ("COPY f f /x", "several sources need a directory"),
    ("COPY --chown=nobody-knows f /x", "nobody-knows: no matching entries in passwd file"),
    ("COPY --chown=0:nobody-knows f /x", "nobody-knows: no matching entries in group file"),
    ("COPY --chmod=99 f /x", "invalid --chmod: '99'"),
    ("COPY --chmod=u+q f /x", "invalid --chmod: 'u+q'"),
    ("COPY f /etc/passwd/x", "the destination /etc/passwd is not a directory"),
    ("COPY d /etc/passwd", "the destination /etc/passwd is not a directory"),
    ("COPY --parents nope /x/", "nope: not found"),
    ("COPY --exclude=[ d /x", "malformed pattern"),
    ("COPY [a-d /x", "malformed pattern"),
    ("COPY https://example.org/f /x", "COPY takes no URL"),
]


@pytest.mark.parametrize(("line", "said"), REFUSED)
def test_what_cannot_be_copied_is_told_with_its_line(build, line: str, said: str) -> None:
    done = build(f"FROM bb\n{line}\n", files=FILES, check=False)
    assert done.code == 1 and said in done.said and "Dockerfile:2" in done.said


def test_special_files_are_copied_and_a_socket_becomes_an_empty_file(build, context: Path) -> None:
    (context / "s").mkdir()
    os.mkfifo(context / "s/fifo", 0o640)
    os.mknod(context / "s/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.relpath(context / "s/socket"))
        done = build("FROM bb\nCOPY s /s\nRUN stat -c '%n %F %t,%T' /s/fifo /s/null /s/socket\n")
    assert done.printed() == [
        "/s/fifo fifo 0,0", "/s/null character special file 1,3", "/s/socket regular empty file 0,0",
    ]  # fmt: skip


def test_a_capability_and_a_setuid_bit_survive_unless_the_owner_changes(build, context: Path, store_root: Path) -> None:
    (context / "f").write_text("x")
    (context / "f").chmod(0o6755)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(context / "f", "security.capability", capability)
    build("FROM scratch\nCOPY f /kept\nCOPY --chown=3:4 f /owned\n")
    kept = next(store_root.glob("layers/*/kept"))
    owned = next(store_root.glob("layers/*/owned"))
    assert os.getxattr(kept, "security.capability") == capability and stat.S_IMODE(kept.stat().st_mode) == 0o6755
    assert (owned.stat().st_uid, stat.S_IMODE(owned.stat().st_mode)) == (3, 0o6755)


MODES = ["u+x", "g-r", "o=", "a=rX", "u=rwX,g=rX,o=", "+x", "go-rwx", "u+s", "g+s", "+t", "u=g", "g=u", "o+u", "a-x,u+X", "=",
         "ug+rw,o-rwx", "u-w+x"]  # fmt: skip


@pytest.mark.parametrize("change", MODES)
def test_symbolic_modes_are_those_of_chmod(tmp_path: Path, change: str) -> None:
    """Asked of chmod(1) itself, with a umask that takes nothing away."""
    import subprocess

    for mode in (0o644, 0o600, 0o755, 0o711, 0o4750, 0o000):
        for directory in (False,) if mode & 0o7000 else (False, True):  # GNU's spares a directory's special bits
            path = tmp_path / f"{mode}{directory}"
            path.mkdir() if directory else path.touch()
            path.chmod(mode)
            subprocess.run(["sh", "-c", 'umask 0; chmod -- "$1" "$2"', "-", change, path], check=True)
            expected = stat.S_IMODE(path.stat().st_mode)
            assert parse_mode(change).of(mode, directory=directory) == expected, f"{mode:o} {directory}"


@pytest.mark.parametrize("text", ["", "8", "77777", "10000", "u", "u+", "u+rq", "x", "u+x,", "u+x g+x", "rwxr-xr-x"])
def test_a_mode_that_makes_no_sense_is_refused(text: str) -> None:
    if text == "u+":  # chmod(1) takes it for no change
        assert parse_mode(text).of(0o644, directory=False) == 0o644
        return
    with pytest.raises(InvalidInput):
        parse_mode(text)


@pytest.mark.parametrize("onto", ["scratch", "bb"])
def test_what_would_be_a_whiteout_is_not_copied(build, context: Path, onto: str) -> None:
    (context / "s").mkdir()
    os.mknod(context / "s/gone", stat.S_IFCHR, 0)
    done = build(f"FROM {onto}\nCOPY s /s\n", check=False)
    assert done.code == 1 and "cannot copy gone: a character device 0:0 is how overlay" in done.said


def test_a_first_step_on_scratch_gives_the_layer_that_it_gives_on_others(build, context: Path) -> None:
    """There nothing is mounted, for there is nothing to see below."""
    (context / "f").write_text("x")
    (context / "d/e").mkdir(parents=True)
    (context / "d/e/g").write_text("y")
    (context / "d/e/h").symlink_to("/f")
    os.chown(context / "d/e/g", 3, 4)
    with tarfile.open(context / "t.tar.gz", "w:gz") as tar:
        tar.add(context / "d", arcname="d")
    for step in ("ADD t.tar.gz /", "COPY d /"):
        alone = build(f"FROM scratch\n{step}\n").config.diff_ids
        above = build(f"FROM scratch\nCOPY f /f\n{step}\n").config.diff_ids
        assert alone == above[1:]
