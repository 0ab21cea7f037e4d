"""What is mounted later, on the host or in the container, and who sees it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from core.errors import InvalidInput
from runtime.mounts import Mount
from runtime.propagation import check_followed
from tests.conftest import ROOT, needs
from tests.runtime.test_volumes import env, lamella_command

TABLE = """\
20 1 8:1 / / rw - ext4 /dev/a rw
21 20 8:2 / /data rw shared:7 - ext4 /dev/b rw
22 20 8:3 / /data/own rw - ext4 /dev/c rw
23 20 8:4 / /a\\040b rw master:7 - ext4 /dev/d rw
24 20 8:5 / /over rw shared:8 - ext4 /dev/e rw
25 24 8:6 / /over rw - ext4 /dev/f rw
"""


@pytest.mark.parametrize(
    ("source", "place"),
    [("/data", ""), ("/data/x", ""), ("/a b/x", ""), ("/database", "/"), ("/x", "/"), ("/data/own/x", "/data/own"), ("/over", "/over")],
)  # fmt: skip
def test_a_slave_is_on_what_is_shared_or_a_slave(tmp_path: Path, source: str, place: str) -> None:
    (tmp_path / "table").write_text(TABLE)
    mount = Mount(source, "/d", options=("rslave", "nodev"))
    said = f"^path {source} is mounted on {place} but it is not a shared or slave mount"
    with pytest.raises(InvalidInput, match=said) if place else contextlib.nullcontext():
        check_followed(mount, f"{tmp_path}/table")


def beside(tmp_path: Path, propagation: str, script: str, *words: str) -> str:
    """What the `script` says in a mount namespace of its own, where `$SAY` is lamella and `$0` its store's directory."""
    command = ["unshare", "--mount", "--propagation", propagation, "sh", "-c", script, str(tmp_path), *words]
    say = " ".join(lamella_command()[:-1])
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env(tmp_path) | {"SAY": say})
    return done.stdout + done.stderr


@needs("busybox", "crun", "runc")
@pytest.mark.parametrize("runtime", ["crun", "runc", "chroot"])
@pytest.mark.parametrize("word", ["slave", "rslave"])
def test_binds_beside_a_slave_stay_private_and_nothing_leads_out(
    bb: str, tmp_path: Path, word: str, runtime: str
) -> None:
    for name in ("follows", "stays"):
        os.makedirs(tmp_path / name / "host")
        os.makedirs(tmp_path / name / "inner")
    inside = """
        for d in follows stays; do mount -t tmpfs t /$d/inner; touch /$d/inner/x; done
        touch /stays/up; until [ -e /stays/go ]; do sleep 0.1; done
        for d in follows stays; do echo $d $(ls /$d/host); done
        touch /stays/told; until [ -e /stays/end ]; do sleep 0.1; done
    """
    script = """
        $SAY run --rm --runtime "$2" --network none --cap-add SYS_ADMIN --security-opt seccomp=unconfined -v "$0/stays:/stays" \
            --mount "type=bind,source=$0/follows,target=/follows,bind-propagation=$1" bb sh -c "$3" &
        until [ -e "$0/stays/up" ]; do kill -0 $! || exit; sleep 0.1; done
        for name in follows stays; do mount -t tmpfs t "$0/$name/host"; touch "$0/$name/host/x"; done
        touch "$0/stays/go"; until [ -e "$0/stays/told" ]; do kill -0 $! || exit; sleep 0.1; done
        ls "$0/follows/inner" "$0/stays/inner" | grep x
        touch "$0/stays/end"; wait
    """
    assert beside(tmp_path, "shared", script, word, runtime, inside) == "follows x\nstays\n"


@needs("busybox", "crun")
def test_a_slave_of_what_is_not_shared_is_refused(bb: str, tmp_path: Path) -> None:
    script = 'mount --bind "$0" "$0"; $SAY run --rm --network none -v "$0:/d:rslave" bb true; echo $?'
    said = beside(tmp_path, "private", script)
    assert said.startswith("125\n")
    assert f"path {tmp_path} is mounted on {tmp_path} but it is not a shared or slave mount\n" in said
