"""restart, pause, unpause, rename, top, stats, port: what each does, and Docker's words where it cannot."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from runtime import top
from tests.conftest import Lamella, needs

pytestmark = needs("crun", "conmon")
COUNTING = "trap 'exit 3' TERM; while :; do echo x >>/count; sleep 0.02; done"


@pytest.fixture
def web(lamella: Lamella, bb: str) -> str:
    """A container called `web` that counts until it is told to end."""
    lamella("run", "-d", "--name", "web", "--network", "none", bb, "sh", "-c", COUNTING)
    return "web"


def id_of(lamella: Lamella, name: str) -> str:
    return lamella("inspect", "-f", "{{.Id}}", name).stdout.strip()


def count(lamella: Lamella, store_root: Path) -> int:
    (upper,) = (store_root / "snapshots").glob("*/upper/count")
    return upper.stat().st_size


def said(lamella: Lamella, *words: str, code: int = 1) -> str:
    done = lamella(*words, check=False)
    assert done.returncode == code
    return done.stderr


class TestPause:
    def test_nothing_runs_until_it_is_woken(self, lamella: Lamella, web: str, store_root: Path) -> None:
        assert lamella("pause", web).stdout == "web\n"
        before = count(lamella, store_root)
        time.sleep(0.2)
        assert count(lamella, store_root) == before
        assert lamella("ps", "--format", "{{.Status}} {{.State}}").stdout.endswith(" (Paused) paused\n")
        state = json.loads(lamella("inspect", web).stdout)[0]["State"]
        assert (state["Status"], state["Paused"], state["Running"]) == ("paused", True, True)
        assert (
            lamella("ps", "-q", "-f", "status=paused").stdout and not lamella("ps", "-q", "-f", "status=running").stdout
        )
        assert lamella("unpause", web).stdout == "web\n"
        time.sleep(0.2)
        assert count(lamella, store_root) > before and "(Paused)" not in lamella("ps").stdout

    def test_what_cannot_be_is_said_in_dockers_words(self, lamella: Lamella, web: str) -> None:
        id = id_of(lamella, web)
        assert f"Container {id} is not paused" in said(lamella, "unpause", web)
        lamella("pause", web)
        assert f"Container {id} is already paused" in said(lamella, "pause", web)
        assert "Container web is paused, unpause the container before exec" in said(lamella, "exec", web, "true")
        assert "container is paused and must be unpaused first" in said(lamella, "rm", web)
        assert "You cannot attach to a paused container, unpause it first" in said(lamella, "start", "-a", web)
        assert "cannot start a paused container, try unpause instead" in said(lamella, "start", web)
        lamella("kill", web)
        assert f"Container {id} is not running" in said(lamella, "pause", web)
        assert f"Container {id} is not paused" in said(lamella, "unpause", web)

    def test_stop_wakes_it_so_that_it_can_end_well(self, lamella: Lamella, web: str) -> None:
        lamella("pause", web)
        started = time.monotonic()
        lamella("stop", web)
        assert time.monotonic() - started < 8 and lamella("wait", web).stdout == "3\n"
        lamella("start", web)
        assert "(Paused)" not in lamella("ps").stdout

    def test_another_signal_waits_until_it_is_woken(self, lamella: Lamella, bb: str) -> None:
        script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.02; done"
        lamella("run", "-d", "--name", "hup", "--network", "none", bb, "sh", "-c", script)
        until_said(lamella, "hup", "ready")
        lamella("pause", "hup")
        lamella("kill", "-s", "HUP", "hup")
        assert "(Paused)" in lamella("ps").stdout and "hup" not in lamella("logs", "hup").stdout
        lamella("unpause", "hup")
        until_said(lamella, "hup", "hup")

    def test_force_removes_a_paused_one(self, lamella: Lamella, web: str) -> None:
        lamella("pause", web)
        assert lamella("rm", "-f", web).stdout == "web\n" and lamella("ps", "-aq").stdout == ""

    def test_a_commit_leaves_it_paused(self, lamella: Lamella, web: str, store_root: Path) -> None:
        lamella("pause", web)
        lamella("commit", web, "copy")
        before = count(lamella, store_root)
        time.sleep(0.2)
        assert count(lamella, store_root) == before and "(Paused)" in lamella("ps").stdout

    def test_what_stood_still_before_is_not_woken(self, lamella: Lamella, bb: str) -> None:
        script = "sleep 77 & sleep 0.2; kill -STOP $!; echo ready; while :; do sleep 0.05; done"
        lamella("run", "-d", "--name", "own", "--network", "none", bb, "sh", "-c", script)
        until_said(lamella, "own", "ready")
        lamella("pause", "own")
        lamella("unpause", "own")
        time.sleep(0.1)
        rows = lamella("top", "own", "-o", "pid,stat,args").stdout.splitlines()
        assert [row.split()[1][0] for row in rows if row.endswith(" sleep 77")] == ["T"]


class TestRestart:
    def test_the_same_container_starts_anew(self, lamella: Lamella, web: str) -> None:
        before = json.loads(lamella("inspect", web).stdout)[0]
        assert lamella("restart", web).stdout == "web\n"
        after = json.loads(lamella("inspect", web).stdout)[0]
        assert after["Id"] == before["Id"] and after["State"]["StartedAt"] > before["State"]["StartedAt"]
        assert after["State"]["Status"] == "running"

    def test_one_that_does_not_run_is_started(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "web", "--network", "none", bb, "sleep", "100")
        assert lamella("restart", "-t", "0", "web").stdout == "web\n" and lamella("ps", "-q").stdout

    def test_one_that_removes_itself_stays(self, lamella: Lamella, bb: str) -> None:
        id = lamella("run", "-d", "--rm", "--name", "web", "--network", "none", bb, "sleep", "100").stdout
        lamella("restart", "-t", "0", "web")
        assert lamella("ps", "-q", "--no-trunc").stdout == id
        lamella("kill", "web")
        end = time.monotonic() + 10
        while lamella("ps", "-aq").stdout and time.monotonic() < end:
            time.sleep(0.05)
        assert lamella("ps", "-aq").stdout == ""

    def test_the_signal_and_the_time_count(self, lamella: Lamella, bb: str) -> None:
        script = "trap 'echo told' USR1; trap '' TERM; echo ready; while :; do sleep 0.05; done"
        lamella("run", "-d", "--name", "deaf", "--network", "none", bb, "sh", "-c", script)
        until_said(lamella, "deaf", "ready")
        started = time.monotonic()
        lamella("restart", "-s", "USR1", "-t", "1", "deaf")
        assert 1 <= time.monotonic() - started < 8 and "told" in lamella("logs", "deaf").stdout

    def test_what_is_not_there_does_not_stop_the_rest(self, lamella: Lamella, web: str) -> None:
        done = lamella("restart", "nothere", web, check=False)
        assert (done.returncode, done.stdout) == (1, "web\n") and "No such container: nothere" in done.stderr


class TestRename:
    def test_it_answers_to_the_new_name_alone(self, lamella: Lamella, web: str) -> None:
        id = id_of(lamella, web)
        assert lamella("rename", web, "api").stdout == ""
        assert id_of(lamella, "api") == id and lamella("inspect", "-f", "{{.Name}}", id).stdout == "/api\n"
        assert "No such container: web" in said(lamella, "stop", web)
        lamella("create", "--name", "web", "bb")

    def test_what_cannot_be_is_said_in_dockers_words(self, lamella: Lamella, web: str) -> None:
        other = lamella("create", "--name", "other", "bb").stdout.strip()
        taken = f'Error when allocating new name: Conflict. The container name "/other" is already in use by container "{other}".'
        assert taken in said(lamella, "rename", web, "other")
        assert "Error when allocating new name: Invalid container name (-x)" in said(lamella, "rename", web, "--", "-x")
        assert "same name as its current name" in said(lamella, "rename", web, web)
        assert "Neither old nor new names may be empty" in said(lamella, "rename", web, "")

    def test_a_rename_that_was_cut_short_is_none(self, lamella: Lamella, web: str, store_root: Path) -> None:
        record = store_root / "containers" / id_of(lamella, web) / "config.json"
        record.write_text(record.read_text().replace('"name":"web"', '"name":"half"'))
        assert (
            lamella("ps", "--format", "{{.Names}}").stdout == "web\n"
            and lamella("inspect", "-f", "{{.Name}}", web).stdout == "/web\n"
        )


class TestTop:
    def test_the_processes_of_the_container_alone_are_shown(self, lamella: Lamella, bb: str) -> None:
        lamella(
            "run", "-d", "--name", "two", "--network", "none", "-u", "1000", bb, "sh", "-c", "sleep 55 & sleep 66; true"
        )
        time.sleep(0.2)
        head, *rows = lamella("top", "two").stdout.splitlines()
        assert head.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        assert sorted(row.split(None, 7)[7] for row in rows) == [
            "sh -c sleep 55 & sleep 66; true",
            "sleep 55",
            "sleep 66",
        ]
        assert head.index("PID") == 20 and head.index("PPID") == 40

    def test_arguments_go_to_ps(self, lamella: Lamella, web: str) -> None:
        assert lamella("top", web, "-o", "pid,uid").stdout.splitlines()[0].split() == ["PID", "UID"]
        assert "Couldn't find PID field in ps output" in said(lamella, "top", web, "-o", "uid")
        assert "ps: " in said(lamella, "top", web, "--nonsense")

    def test_without_a_ps_it_reads_proc_itself(self, lamella: Lamella, web: str) -> None:
        pid = int(lamella("inspect", "-f", "{{.State.Pid}}", web).stdout)
        own = top._row(pid)
        theirs = next(row.split(None, 7) for row in lamella("top", web).stdout.splitlines() if str(pid) in row)
        assert own is not None and [own[0], own[1], own[2], own[5], own[7]] == [
            theirs[0],
            theirs[1],
            theirs[2],
            theirs[5],
            theirs[7],
        ]
        assert re.fullmatch(r"\d\d:\d\d", own[4]) and re.fullmatch(r"\d\d:\d\d:\d\d", own[6])

    def test_one_that_does_not_run_has_none(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "idle", bb)
        assert "is not running" in said(lamella, "top", "idle")


class TestStats:
    def test_what_it_uses_is_shown_once(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "busy", "--network", "none", bb, "sh", "-c", "while :; do :; done")
        lamella("create", "--name", "idle", bb)
        head, *rows = lamella("stats", "--no-stream").stdout.splitlines()
        titles = ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"]
        assert re.split(r" {2,}", head) == titles and len(rows) == 1
        told = json.loads(lamella("stats", "--no-stream", "--format", "json", "busy").stdout)
        assert set(told) == {"BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"}
        assert float(told["CPUPerc"].rstrip("%")) > 10 and told["PIDs"] == "1" and told["Name"] == "busy"
        assert re.fullmatch(r"[\d.]+[KM]iB / [\d.]+GiB", told["MemUsage"])

    def test_one_that_does_not_run_uses_nothing(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "idle", bb)
        shown = lamella(
            "stats", "-a", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}"
        ).stdout
        assert shown == "idle 0.00% 0B / 0B 0\n"


class TestSharedProcessNumbers:
    @pytest.mark.parametrize("mode", ["host", "container:other"])
    def test_only_the_container_itself_is_meant(self, lamella: Lamella, bb: str, store_root: Path, mode: str) -> None:
        script = "while :; do echo x >>/count; sleep 0.02; done"
        lamella("run", "-d", "--name", "other", "--network", "none", bb, "sh", "-c", script)
        lamella("run", "-d", "--name", "web", "--pid", mode, "--network", "none", bb, "sleep", "77")
        rows = lamella("top", "web", "-o", "pid,args").stdout.splitlines()
        assert [row.split(None, 1)[1] for row in rows[1:]] == ["sleep 77"]
        assert rows[1].split()[0] == lamella("inspect", "-f", "{{.State.Pid}}", "web").stdout.strip()
        lamella("pause", "web")
        before = count(lamella, store_root)
        time.sleep(0.2)
        assert count(lamella, store_root) > before
        lamella("unpause", "web")


class TestPort:
    def test_one_without_published_ports_has_none(self, lamella: Lamella, web: str) -> None:
        assert lamella("port", web).stdout == ""
        assert "No public port '80/tcp' published for web" in said(lamella, "port", web, "80")


def until_said(lamella: Lamella, name: str, text: str) -> None:
    end = time.monotonic() + 10
    while text not in lamella("logs", name).stdout:
        assert time.monotonic() < end, f"{name} did not say {text}"
        time.sleep(0.05)
