"""Containers of an ordinary user of the machine: run, entered, watched, ended and cleaned up inside the user namespace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable

import pytest

from tests.conftest import needs
from tests.suites.ordinary import Ordinary, first_subordinate

pytestmark = needs("newuidmap", "crun", "conmon")
NONE = ("--network", "none")


@pytest.fixture
def running(user: Ordinary) -> Ordinary:
    """With a detached container `job` that sleeps as web, after a word to its log."""
    user.lamella("run", "-d", "--name", "job", "-u", "web", *NONE, "bb", "sh", "-c", "echo started; exec sleep 1000")
    return user


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("command", "code"),
    [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["nothing-like-it"], 127), (["/etc/passwd"], 126)],
)
def test_run_ends_with_the_commands_exit_code(user: Ordinary, command: list[str], code: int) -> None:
    assert user.lamella("run", "--rm", *NONE, "bb", *command, check=False).returncode == code
    assert user.lamella("ps", "-aq").stdout == ""


def test_root_inside_is_the_user_outside_and_others_are_subordinate(user: Ordinary) -> None:
    place = user.home / "shared"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    script = "touch /there/root; su -s /bin/sh web -c 'touch /there/web'"
    user.lamella("run", "--rm", *NONE, "-v", f"{place}:/there", "bb", "sh", "-c", script)
    assert (place / "root").stat().st_uid == user.uid
    assert (place / "web").stat().st_uid == first_subordinate() + 999


@pytest.mark.parametrize("network", ["none", "host"])
def test_nothing_inside_has_the_powers_of_the_machines_root(user: Ordinary, network: str) -> None:
    script = """
        touch /host/x && echo wrote to the host
        mknod /tmp/disk b 8 0 && echo made a device
        echo x >/proc/sys/kernel/domainname && echo set a parameter
        mount -t tmpfs none /tmp && echo mounted
        touch /sys/x && echo wrote to sys
        echo 1 >/sys/kernel/mm/ksm/run && echo switched a feature
        [ -s /proc/keys ] && echo read keys
        :
    """
    ran = user.lamella("run", "--rm", "--network", network, "-v", "/etc:/host", "bb", "sh", "-c", script)
    assert ran.stdout == ""


def test_a_privileged_container_has_no_more_than_the_namespace_gives(user: Ordinary) -> None:
    script = "mount -t tmpfs none /tmp && echo mounted; mknod /tmp/disk b 8 0 || echo no device"
    ran = user.lamella("run", "--rm", "--privileged", *NONE, "bb", "sh", "-c", script)
    assert ran.stdout == "mounted\nno device\n"


def test_a_detached_container_is_listed_entered_and_read(running: Ordinary) -> None:
    assert running.lamella("exec", "job", "id", "-u").stdout == "1000\n"
    assert running.lamella("exec", "-u", "0", "job", "id", "-u").stdout == "0\n"
    assert running.lamella("exec", "job", "sh", "-c", "exit 3", check=False).returncode == 3
    until(lambda: running.lamella("logs", "job").stdout == "started\n")
    assert "sleep 1000" in running.lamella("top", "job").stdout
    assert "Up" in running.lamella("ps", "--format", "{{.Names}} {{.Status}}").stdout


def test_what_runs_as_another_user_is_paused_killed_and_stopped(running: Ordinary) -> None:
    running.lamella("pause", "job")
    assert "Paused" in running.lamella("ps").stdout
    running.lamella("unpause", "job")
    running.lamella("kill", "-s", "KILL", "job")
    assert running.lamella("wait", "job").stdout == "137\n"
    running.lamella("start", "job")
    running.lamella("stop", "-t", "0", "job")
    assert json.loads(running.lamella("inspect", "job").stdout)[0]["State"]["Status"] == "exited"


def test_files_are_copied_both_ways_with_their_owners_and_listed_as_changes(running: Ordinary) -> None:
    (running.home / "note").write_text("a note\n")
    running.lamella("cp", running.home / "note", "job:/tmp/note")
    running.lamella("exec", "-u", "0", "job", "chown", "web:web", "/tmp/note")
    assert "A /tmp/note" in running.lamella("diff", "job").stdout
    running.lamella("cp", "-a", "job:/tmp/note", running.home / "back")
    assert (running.home / "back").read_text() == "a note\n"
    assert (running.home / "back").stat().st_uid == first_subordinate() + 999
    running.lamella("stop", "-t", "0", "job")
    running.lamella("cp", "job:/tmp/note", running.home / "again")
    assert (running.home / "again").stat().st_uid == running.uid


def test_an_image_made_of_a_running_container_has_its_files_and_their_owners(running: Ordinary) -> None:
    running.lamella("exec", "job", "touch", "/tmp/mine")
    running.lamella("commit", "job", "made")
    said = running.lamella("run", "--rm", *NONE, "made", "stat", "-c", "%u", "/tmp/mine")
    assert said.stdout == "1000\n"


def test_a_volume_outlives_its_containers_and_is_removed_with_other_peoples_files(user: Ordinary) -> None:
    user.lamella("volume", "create", "data")
    there = (*NONE, "-v", "data:/data", "bb", "sh", "-c")
    user.lamella("run", "--rm", *there, "mkdir -m 700 /data/web && chown web /data/web && echo kept >/data/note")
    assert user.lamella("run", "--rm", *there, "cat /data/note").stdout == "kept\n"
    user.lamella("volume", "rm", "data")
    assert user.lamella("volume", "ls", "-q").stdout == ""


def test_limits_that_nobody_can_keep_here_are_told_once(user: Ordinary) -> None:
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("a v2 host may have given the user a cgroup")
    ran = user.lamella("run", "--rm", *NONE, "-m", "64m", "--pids-limit", "9", "bb", "true")
    assert ran.stderr.count("WARNING") == 1 and "--memory, --pids-limit" in ran.stderr


@pytest.mark.parametrize("runtime", ["runc", "runsc"])
def test_a_runtime_that_wants_a_cgroup_is_refused(user: Ordinary, runtime: str) -> None:
    if not shutil.which(runtime) or os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip(f"needs {runtime}, and a host that gives the user no cgroup")
    ran = user.lamella("run", "--rm", "--runtime", runtime, *NONE, "bb", "true", check=False)
    assert ran.returncode == 125 and f"lamella: {runtime} wants a cgroup" in ran.stderr


def test_limits_above_the_users_own_are_cut_to_them_and_told(user: Ordinary) -> None:
    ran = user.lamella("run", "--rm", *NONE, "--ulimit", "nofile=99999999", "bb", "sh", "-c", "ulimit -n")
    assert int(ran.stdout) < 99999999 and "ulimit nofile 99999999:99999999 is above" in ran.stderr
    ran = user.lamella("run", "--rm", *NONE, "--oom-score-adj", "-999", "bb", "echo", "fine")
    assert ran.stdout == "fine\n" and "may not lower the OOM score to -999" in ran.stderr


def test_keep_id_is_refused_with_what_helps(user: Ordinary) -> None:
    ran = user.lamella("run", "--rm", "--userns", "keep-id", *NONE, "bb", "true", check=False)
    assert ran.returncode == 125 and "root inside is you outside" in ran.stderr


def test_kill_9_of_run_leaves_nothing(user: Ordinary) -> None:
    run = user.start(user.command("run", "--rm", *NONE, "bb", "sh", "-c", "echo up; exec sleep 1000"))
    assert run.stdout is not None and run.stdout.readline() == "up\n"
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=30)
    assert user.is_quiet()
    assert user.lamella("ps", "-aq").stdout == ""
    assert os.listdir(user.root / "snapshots") == []


def test_kill_9_of_conmon_ends_all_of_the_container(running: Ordinary) -> None:
    conmon = next(pid for pid, words in running.processes().items() if "conmon" in words)
    os.kill(conmon, signal.SIGKILL)
    assert running.is_quiet()
    assert "Exited (137)" in running.lamella("ps", "-a").stdout


def test_a_command_finds_the_containers_although_the_namespaces_holder_was_killed(running: Ordinary) -> None:
    holder = next(pid for pid, words in running.processes().items() if words.startswith("flock"))
    os.kill(holder, signal.SIGKILL)
    until(lambda: holder not in running.processes())
    assert running.lamella("exec", "job", "id", "-u").stdout == "1000\n"
    running.lamella("rm", "-f", "job")
    assert running.is_quiet()


def test_many_commands_at_once_meet_in_one_namespace(user: Ordinary) -> None:
    starting = [
        user.start(user.command("run", "-d", "--name", f"n{n}", *NONE, "bb", "sleep", "1000")) for n in range(4)
    ]
    for one in starting:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said
    for number in range(4):
        user.lamella("exec", f"n{number}", "true")
    user.lamella("rm", "-f", *(f"n{number}" for number in range(4)))
    assert user.is_quiet()


def test_a_container_that_is_restarted_stays_within_reach(user: Ordinary) -> None:
    user.lamella("run", "-d", "--name", "again", "--restart", "always", *NONE, "bb", "sh", "-c", "[ -e /up ] || { touch /up; exit 1; }; exec sleep 1000")  # fmt: skip
    restarted = ("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "again")
    until(lambda: user.lamella(*restarted).stdout == "1 running\n")
    assert user.lamella("exec", "again", "ls", "/up").stdout == "/up\n"
    user.lamella("rm", "-f", "again")
    assert user.is_quiet()
