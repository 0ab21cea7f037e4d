"""What runs contained leaves nothing: no process, no mount, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import syscalls

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PRELUDE = """
import os, signal, subprocess, sys, time
from core import syscalls
from core.namespaces import contained
"""


def start(body: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PRELUDE + body, *args], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def processes_with(mark: str) -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if mark.encode() in words and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(pid))
        except OSError:
            continue
    return found


def gone(mark: str) -> bool:
    for _ in range(100):
        if not processes_with(mark):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("lambda: 7", 7),
        ("lambda: sys.exit(3)", 3),
        ("lambda: os.kill(os.getpid(), 9) or time.sleep(1) or 4", 4),
        ("lambda: 1 / 0", 125),
    ],
)
def test_the_exit_code_comes_through(body: str, code: int) -> None:
    with start(f"sys.stderr = open('/dev/null', 'w'); sys.exit(contained({body}))") as child:
        assert child.wait(10) == code


def test_the_work_sees_its_own_processes_and_mounts_unseen_by_others(tmp_path: Path) -> None:
    body = """
def work():
    syscalls.mount("tmpfs", sys.argv[1], "tmpfs")
    open(sys.argv[1] + "/inside", "w").close()
    print(os.getpid(), len([p for p in os.listdir("/proc") if p.isdigit()]))
    return 0
sys.exit(contained(work))"""
    child = start(body, str(tmp_path))
    output, _ = child.communicate(timeout=10)
    assert output == "1 1\n" and child.returncode == 0 and not os.listdir(tmp_path)


@pytest.mark.parametrize("victim", ["parent", "init"])
def test_killing_either_end_takes_everything_down(victim: str) -> None:
    mark = f"{600 + os.getpid() % 100}.{time.time_ns() % 1000:03d}"
    body = """
def work():
    subprocess.Popen(["sleep", sys.argv[1]], start_new_session=True)
    print("ready", flush=True)
    time.sleep(60)
    return 0
sys.exit(contained(work))"""
    child = start(body, mark)
    assert child.stdout and child.stdout.readline() == "ready\n"
    init = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0]
    os.kill(child.pid if victim == "parent" else int(init), signal.SIGKILL)
    assert child.wait(10) == (-9 if victim == "parent" else 137)
    assert gone(mark)
    child.stdout.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_are_passed_on_and_heeded_once(number: signal.Signals, code: int) -> None:
    body = """
def work():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.2)
        print("cleaned up", flush=True)
    return 0
sys.exit(contained(work))"""
    child = start(body)
    assert child.stdout and child.stdout.readline() == "ready\n"
    for _ in range(3):
        child.send_signal(number)
        time.sleep(0.05)
    assert child.stdout.read() == "cleaned up\n" and child.wait(10) == code
    child.stdout.close()


def test_what_is_unmounted_outside_is_not_kept_inside(tmp_path: Path) -> None:
    shared, disk = tmp_path / "shared", tmp_path / "shared/disk"
    shared.mkdir()
    syscalls.mount("tmpfs", shared, "tmpfs")
    try:
        syscalls.mount("none", shared, flags=1 << 20)  # MS_SHARED, as the root of most machines is
        disk.mkdir()
        syscalls.mount("tmpfs", disk, "tmpfs")
        body = """
def work():
    print(os.path.ismount(sys.argv[1]), flush=True)
    sys.stdin.read()
    print(os.path.ismount(sys.argv[1]), flush=True)
    return 0
sys.exit(contained(work))
"""
        with subprocess.Popen(
            [sys.executable, "-c", PRELUDE + body, disk],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout and child.stdout.readline() == "True\n"
            syscalls.unmount(disk)
            out, _ = child.communicate(timeout=10)
        assert (child.returncode, out) == (0, "False\n")
    finally:
        syscalls.unmount(shared)
