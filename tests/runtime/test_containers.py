"""Containers that stay: create, start, ps, exec, logs, stop, kill, wait, rm, inspect, prune."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.logs import in_utc
from tests.conftest import ROOT, Lamella, needs

pytestmark = needs("crun", "conmon")


@pytest.fixture
def web(lamella: Lamella, bb: str) -> str:
    """A container called `web` that runs until it is told to end."""
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    lamella("run", "-d", "--name", "web", "--network", "none", "-l", "tier=front", bb, "sh", "-c", script)
    until(lambda: "ready" in lamella("logs", "web").stdout)
    return "web"


def until(check: object, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not check():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


class TestLife:
    def test_detached_prints_the_id_and_ps_shows_it(self, lamella: Lamella, web: str) -> None:
        id = lamella("ps", "-q", "--no-trunc").stdout.strip()
        assert re.fullmatch(r"[0-9a-f]{64}", id)
        head, row = lamella("ps").stdout.splitlines()
        assert head.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
        assert (
            row.startswith(f'{id[:12]}   bb        "sh -c trap \'echo by…"') and " Up " in row and row.endswith("web")
        )

    def test_stop_sends_term_and_the_exit_code_is_kept(self, lamella: Lamella, web: str) -> None:
        assert lamella("stop", web).stdout == "web\n"
        assert lamella("ps", "-q").stdout == ""
        assert lamella("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (3) ")
        assert lamella("wait", web).stdout == "3\n"
        assert lamella("stop", web).returncode == 0

    def test_one_that_removes_itself_goes_also_when_whoever_restarted_it_was_killed(
        self, lamella: Lamella, store_root: Path, bb: str
    ) -> None:
        from core.locks import FileLock
        from runtime.containers import KEPT

        id = lamella("run", "-d", "--rm", "--network", "none", bb, "sleep", "100").stdout.strip()
        restarting = FileLock(store_root / "containers" / id / KEPT)
        restarting.acquire()
        lamella("stop", "-t", "0", id)
        assert lamella("ps", "-aq", "--no-trunc").stdout.split() == [id], "it is to be started again"
        restarting.release()  # as the kernel does
        assert lamella("ps", "-aq").stdout == ""

    def test_stop_kills_what_does_not_listen(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--name", "deaf", "--network", "none", bb, "sleep", "100")
        started = time.monotonic()
        lamella("stop", "-t", "1", "deaf")
        assert 1 <= time.monotonic() - started < 8 and lamella("wait", "deaf").stdout == "137\n"

    def test_the_images_stop_signal_counts(self, lamella: Lamella, make_image: object) -> None:
        name = make_image("quit", stop_signal="SIGUSR1")  # type: ignore[operator]
        script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done"
        lamella("run", "-d", "--name", "qq", "--network", "none", name, "sh", "-c", script)
        until(lambda: lamella("logs", "qq").stdout)
        lamella("stop", "qq")
        assert lamella("wait", "qq").stdout == "9\n"

    def test_kill_sends_any_signal(self, lamella: Lamella, web: str) -> None:
        assert lamella("kill", "-s", "TERM", web).stdout == "web\n"
        assert lamella("wait", web).stdout == "3\n"
        done = lamella("kill", web, check=False)
        assert done.returncode == 1 and "is not running" in done.stderr

    def test_create_then_start_attached(self, lamella: Lamella, bb: str) -> None:
        id = lamella("create", "--network", "none", bb, "sh", "-c", "echo out; echo err >&2; exit 6").stdout.strip()
        assert lamella("ps", "-a", "--format", "{{.State}} {{.Status}}").stdout == "created Created\n"
        done = lamella("start", "-a", id, check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 6)

    def test_what_was_written_is_there_after_a_restart(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "--name", "again", "--network", "none", bb, "sh", "-c", "echo x >> /count; wc -l < /count")
        done = lamella("start", "-a", "again")
        assert done.stdout == "2\n" and lamella("logs", "again").stdout == "1\n2\n"

    def test_several_are_started_and_stopped_at_once(self, lamella: Lamella, bb: str) -> None:
        names = ["one", "two", "three"]
        for name in names:
            lamella("create", "--name", name, "--network", "none", bb, "sleep", "100")
        assert lamella("start", *names).stdout.split() == names
        assert len(lamella("ps", "-q").stdout.split()) == 3
        assert lamella("stop", "-t", "0", *names).stdout.split() == names
        assert lamella("rm", *names).stdout.split() == names and lamella("ps", "-aq").stdout == ""

    def test_rm_takes_itself_away_when_it_ends(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        lamella("run", "-d", "--rm", "--name", "gone", "--network", "none", bb, "true")
        until(lambda: not list((store_root / "containers").iterdir()))
        assert lamella("ps", "-aq").stdout == "" and not list((store_root / "snapshots").iterdir())

    def test_wait_knows_the_code_of_one_that_removes_itself(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "-d", "--rm", "--name", "brief", "--network", "none", bb, "sh", "-c", "sleep 1.5; exit 8")
        assert lamella("wait", "brief").stdout == "8\n"

    def test_a_start_that_fails_leaves_the_container(self, lamella: Lamella, bb: str) -> None:
        done = lamella("run", "-d", "--name", "bad", bb, "nonesuch", check=False)
        assert done.returncode == 127 and "not found" in done.stderr and done.stdout == ""
        assert lamella("ps", "-a", "--format", "{{.Names}}").stdout == "bad\n"


class TestNames:
    def test_a_name_is_given_where_none_is(self, lamella: Lamella, bb: str) -> None:
        lamella("create", bb)
        assert re.fullmatch(r"[a-z]+_[a-z]+\n", lamella("ps", "-a", "--format", "{{.Names}}").stdout)

    def test_a_name_that_is_taken_is_a_conflict(self, lamella: Lamella, bb: str) -> None:
        id = lamella("create", "--name", "web", bb).stdout.strip()
        done = lamella("run", "--name", "web", bb, check=False)
        assert done.returncode == 125
        assert f'The container name "/web" is already in use by container "{id}"' in done.stderr

    def test_ids_names_and_beginnings_are_found(self, lamella: Lamella, bb: str) -> None:
        id = lamella("create", "--name", "web", bb).stdout.strip()
        for text in (id, id[:5], "web", "/web"):
            assert json.loads(lamella("container", "inspect", text).stdout)[0]["Id"] == id

    @pytest.mark.parametrize(
        "verb", [["stop"], ["kill"], ["rm"], ["logs"], ["wait"], ["start"], ["exec"], ["container", "inspect"]]
    )
    def test_what_is_not_there_is_said(self, lamella: Lamella, bb: str, verb: list[str]) -> None:
        done = lamella(*verb, "nothere", *(["true"] if verb == ["exec"] else []), check=False)
        assert done.returncode == 1 and "No such container: nothere" in done.stderr

    def test_one_failure_does_not_stop_the_rest(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "web", bb)
        done = lamella("rm", "nothere", "web", check=False)
        assert (done.returncode, done.stdout) == (1, "web\n")


class TestRemove:
    def test_a_running_one_needs_force(self, lamella: Lamella, web: str) -> None:
        done = lamella("rm", web, check=False)
        assert done.returncode == 1 and "container is running" in done.stderr
        assert lamella("rm", "-f", web).stdout == "web\n" and lamella("ps", "-aq").stdout == ""

    def test_force_does_not_mind_what_is_not_there(self, lamella: Lamella, bb: str) -> None:
        assert lamella("rm", "-f", "nothere").returncode == 0

    def test_prune_takes_all_that_do_not_run(self, lamella: Lamella, bb: str, web: str) -> None:
        id = lamella("create", "-l", "keep=no", bb).stdout.strip()
        lamella("create", "--name", "kept", "-l", "keep=yes", bb)
        done = lamella("container", "prune", "-f", "--filter", "label!=keep=yes")
        assert done.stdout.startswith(f"Deleted Containers:\n{id}\n\nTotal reclaimed space: ")
        assert lamella("ps", "-a", "--format", "{{.Names}}").stdout.split() == ["kept", "web"]

    def test_a_container_holds_its_image(self, lamella: Lamella, web: str) -> None:
        done = lamella("rmi", "bb", check=False)
        assert done.returncode == 1 and "bb" in done.stderr
        assert lamella("images", "-q").stdout


class TestExec:
    def test_it_runs_inside_with_its_own_exit_code(self, lamella: Lamella, web: str) -> None:
        done = lamella("exec", web, "sh", "-c", "echo out; echo err >&2; ps | grep -c sleep; exit 9", check=False)
        assert done.stdout.splitlines()[0] == "out" and done.stderr == "err\n" and done.returncode == 9

    def test_stdin_variables_user_and_directory(self, lamella: Lamella, web: str) -> None:
        assert lamella("exec", web, "cat", input="typed").stdout == ""
        assert lamella("exec", "-i", web, "cat", input="typed").stdout == "typed"
        done = lamella("exec", "-e", "A=1", "-w", "/tmp", "-u", "web", web, "sh", "-c", "echo $A; pwd; id -un; id -G")
        assert done.stdout.split() == ["1", "/tmp", "web", "1001", "50"]

    def test_detached(self, lamella: Lamella, web: str) -> None:
        lamella("exec", "-d", web, "sh", "-c", "echo x > /made")
        until(lambda: lamella("exec", web, "cat", "/made", check=False).stdout == "x\n")

    @pytest.mark.parametrize(("command", "code"), [("nonesuch", 127), ("/etc", 126)])
    def test_what_cannot_start(self, lamella: Lamella, web: str, command: str, code: int) -> None:
        done = lamella("exec", web, command, check=False)
        assert done.returncode == code and done.stderr

    def test_it_needs_a_running_container(self, lamella: Lamella, bb: str) -> None:
        lamella("create", "--name", "idle", bb)
        done = lamella("exec", "idle", "true", check=False)
        assert done.returncode == 1 and "is not running" in done.stderr

    def test_it_enters_one_in_the_foreground_too(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        from tests.runtime.test_run import begin

        process = begin(store_root, "--rm", "--name", "fore", bb, "sh", "-c", "echo ready; sleep 30")
        assert lamella("exec", "fore", "hostname").stdout
        assert lamella("stop", "-t", "0", "fore").returncode == 0
        process.communicate(timeout=20)
        assert process.returncode == 137


class TestLogs:
    @pytest.fixture
    def talker(self, lamella: Lamella, bb: str) -> str:
        script = "for i in 1 2 3 4 5; do echo line $i; done; echo err >&2; printf unfinished"
        lamella("run", "--name", "talker", "--network", "none", bb, "sh", "-c", script)
        return "talker"

    def test_streams_are_kept_apart(self, lamella: Lamella, talker: str) -> None:
        done = lamella("logs", talker)
        assert done.stdout == "".join(f"line {i}\n" for i in range(1, 6)) + "unfinished" and done.stderr == "err\n"

    @pytest.mark.parametrize(("tail", "first"), [("0", ""), ("1", "unfinished"), ("all", "line 1"), ("100", "line 1")])
    def test_tail(self, lamella: Lamella, talker: str, tail: str, first: str) -> None:
        assert lamella("logs", "--tail", tail, talker).stdout.split("\n")[0] == first

    def test_the_tail_of_a_long_log_is_right(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "--name", "long", "--network", "none", bb, "seq", "30000")
        assert lamella("logs", "--tail", "3", "long").stdout.split() == ["29998", "29999", "30000"]
        assert len(lamella("logs", "-n", "20000", "long").stdout.split()) == 20000

    @pytest.mark.parametrize("text", ["2026-01-31T12:00:00.120000000+00:00", "2026-01-31T14:30:00.120000000+02:30"])
    def test_instants_are_shown_in_utc_wherever_the_machine_is(self, text: str) -> None:
        assert in_utc(text) == "2026-01-31T12:00:00.120000000Z"

    def test_timestamps_since_and_until(self, lamella: Lamella, talker: str) -> None:
        assert re.match(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 1$", lamella("logs", "-t", talker).stdout.splitlines()[0]
        )
        assert lamella("logs", "--since", "1h", talker).stdout.startswith("line 1")
        assert (
            lamella("logs", "--until", "1h", talker).stdout
            == ""
            == lamella("logs", "--since", "2099-01-01", talker).stdout
        )

    def test_follow_ends_with_the_container(self, lamella: Lamella, bb: str) -> None:
        script = "echo first; sleep 1; echo second"
        lamella("run", "-d", "--name", "slow", "--network", "none", bb, "sh", "-c", script)
        assert lamella("logs", "-f", "slow").stdout == "first\nsecond\n"


class TestPs:
    def names(self, lamella: Lamella, *args: str) -> list[str]:
        return lamella("ps", *args, "--format", "{{.Names}}").stdout.split()

    @pytest.fixture
    def several(self, lamella: Lamella, web: str) -> None:
        lamella("run", "--name", "done", "--network", "none", "bb", "sh", "-c", "exit 4", check=False)
        lamella("create", "--name", "idle", "-l", "tier=back", "bb")

    def test_which_are_listed(self, lamella: Lamella, several: None) -> None:
        assert self.names(lamella) == ["web"]
        assert self.names(lamella, "-a") == ["idle", "done", "web"]
        assert self.names(lamella, "-l") == ["idle"] and self.names(lamella, "-n", "2") == ["idle", "done"]

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            (["status=exited"], ["done"]), (["status=exited", "status=created"], ["idle", "done"]), (["exited=4"], ["done"]),
            (["name=e$"], ["idle", "done"]), (["label=tier"], ["idle", "web"]), (["label=tier=back"], ["idle"]),
            (["label=tier", "label=tier=front"], ["web"]), (["ancestor=bb"], ["idle", "done", "web"]), (["ancestor=other"], []),
            (["before=idle"], ["done", "web"]), (["since=web"], ["idle", "done"]), (["network=none", "status=running"], ["web"]),
        ],
    )  # fmt: skip
    def test_filters(self, lamella: Lamella, several: None, filters: list[str], found: list[str]) -> None:
        assert self.names(lamella, "-a", *(word for text in filters for word in ("-f", text))) == found

    @pytest.mark.parametrize("text", ["bogus=1", "status", "status=flying", "exited=x", "name=("])
    def test_wrong_filters_are_refused(self, lamella: Lamella, bb: str, text: str) -> None:
        done = lamella("ps", "-f", text, check=False)
        assert done.returncode == 1 and "invalid filter" in done.stderr

    def test_json_and_templates(self, lamella: Lamella, several: None) -> None:
        rows = [json.loads(line) for line in lamella("ps", "-a", "--format", "json").stdout.splitlines()]
        assert [row["State"] for row in rows] == ["created", "exited", "running"]
        wanted = {"Command", "CreatedAt", "ID", "Image", "Labels", "LocalVolumes", "Mounts", "Names", "Networks", "Ports",
                  "RunningFor", "Size", "State", "Status"}  # fmt: skip
        assert wanted <= rows[0].keys() and rows[2]["Labels"] == "tier=front"
        assert lamella("ps", "--format", '{{.Label "tier"}} {{.Image}}').stdout == "front bb\n"

    def test_size(self, lamella: Lamella, bb: str) -> None:
        lamella("run", "--name", "fat", "--network", "none", bb, "sh", "-c", "head -c 2000000 /dev/zero > /big")
        assert re.match(r"2MB \(virtual ", lamella("ps", "-as", "--format", "{{.Size}}").stdout)


class TestInspect:
    def test_dockers_shape(self, lamella: Lamella, web: str, tmp_path: Path) -> None:
        lamella(
            "create",
            "--name",
            "full",
            "-v",
            f"{tmp_path}:/data:ro",
            "-e",
            "A=1",
            "-w",
            "/srv",
            "-u",
            "web",
            "--rm",
            "bb",
            "ls",
            "-l",
        )
        full, running = json.loads(lamella("container", "inspect", "full", web).stdout)
        assert (full["Name"], full["Path"], full["Args"]) == ("/full", "ls", ["-l"])
        assert full["Config"]["Image"] == "bb" and "A=1" in full["Config"]["Env"] and full["Config"]["User"] == "web"
        assert full["HostConfig"]["Binds"] == [f"{tmp_path}:/data:ro"] and full["HostConfig"]["AutoRemove"] is True
        assert (
            full["Mounts"][0] | {"Type": "bind", "Source": str(tmp_path), "Destination": "/data", "RW": False}
            == full["Mounts"][0]
        )
        assert full["State"]["Status"] == "created" and full["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
        assert running["State"]["Running"] is True and running["State"]["Pid"] > 0
        assert Path(f"/proc/{running['State']['Pid']}/cmdline").read_bytes().startswith(b"sh\0-c\0trap")
        assert running["NetworkSettings"]["Networks"].keys() == {"none"}

    def test_what_scripts_read_is_there_even_when_it_is_nothing(self, lamella: Lamella, web: str) -> None:
        template = "{{.HostConfig.Memory}} {{.HostConfig.Dns}} {{.HostConfig.PidMode}}{{.NetworkSettings.IPPrefixLen}} {{.Config.OnBuild}}"
        assert lamella("inspect", "-f", template, web).stdout == "0 [] 0 []\n"
        assert lamella("inspect", "-s", "-f", "{{ge .SizeRw 0}}", web).stdout == "true\n"

    def test_templates(self, lamella: Lamella, web: str) -> None:
        assert (
            lamella("container", "inspect", "-f", "{{.State.Status}} {{.Config.Labels.tier}}", web).stdout
            == "running front\n"
        )


class TestTerminal:
    @pytest.mark.parametrize("flags", [["--rm"], []])
    def test_it_has_the_callers_size_and_follows_it(
        self, lamella: Lamella, bb: str, store_root: Path, flags: list[str]
    ) -> None:
        from tests.suites.terminal import Terminal

        with Terminal(
            store_root,
            "run",
            *flags,
            "-it",
            "--network",
            "none",
            bb,
            "sh",
            "-c",
            "read x; stty size; read x; stty size; exit 7",
        ) as term:
            term.resize(33, 101)
            term.started()
            term.type("\n")
            term.expect("33 101")
            term.resize(44, 99)
            time.sleep(0.3)
            term.type("\n")
            term.expect("44 99")
            assert term.exit_code() == 7

    def test_control_c_reaches_the_command_alone(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        from tests.suites.terminal import Terminal

        with Terminal(
            store_root,
            "run",
            "--rm",
            "-it",
            "--network",
            "none",
            bb,
            "sh",
            "-c",
            "trap 'echo caught; exit 4' INT; echo re''ady; while :; do sleep 0.05; done",
        ) as term:
            term.expect("ready")
            term.type("\x03")
            term.expect("caught")
            assert term.exit_code() == 4

    def test_exec(self, lamella: Lamella, web: str, store_root: Path) -> None:
        from tests.suites.terminal import Terminal

        with Terminal(store_root, "exec", "-it", web, "sh", "-c", "tty; echo re''ady; read x; exit 5") as term:
            term.expect("/dev/pts/")
            term.expect("ready")
            term.type("\n")
            assert term.exit_code() == 5

    def test_detaching_leaves_it_running(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        from tests.suites.terminal import Terminal

        with Terminal(
            store_root, "run", "-it", "--name", "left", "--network", "none", bb, "sh", "-c", "echo re''ady; sleep 100"
        ) as term:
            term.expect("ready")
            term.type("\x10\x11")
            assert term.exit_code() == 0
        assert lamella("ps", "--format", "{{.Names}}").stdout == "left\n"
        lamella("rm", "-f", "left")

    def test_fingers_may_detach_slowly_and_attach_again(self, lamella: Lamella, bb: str, store_root: Path) -> None:
        from tests.suites.terminal import Terminal

        script = "echo re''ady; while read x; do echo got $x; [ $x = end ] && exit 6; done"
        with Terminal(store_root, "run", "-it", "--name", "left", "--network", "none", bb, "sh", "-c", script) as term:
            term.expect("ready")
            term.type("\x10")
            time.sleep(0.4)
            term.type("\x11")
            assert term.exit_code() == 0
        for words, code in ((["attach"], 0), (["start", "-ai"], 6)):
            with Terminal(store_root, *words, "left") as term:
                term.started()
                term.type("this\n")
                term.expect("got this")
                term.type("\x10\x11" if code == 0 else "end\n")
                assert term.exit_code() == code
        assert lamella("attach", "--no-stdin", "left", check=False).stderr.startswith(
            "lamella: You cannot attach to a stopped container"
        )

    def test_attaching_shows_output_and_ends_with_the_exit_code(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
        lamella(
            "run", "-d", "--rm", "--name", "job", "--network", "none", bb,
            "sh", "-c", "trap 'echo bye; exit 5' TERM; while :; do echo on; sleep 0.05; done",
        )  # fmt: skip
        with subprocess.Popen(
            [sys.executable, "-m", "lamella", "attach", "job"],
            env={**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
        ) as attached:  # fmt: skip
            assert attached.stdout and attached.stdout.readline() == b"on\n"
            attached.terminate()  # is passed on
            assert attached.stdout.read().endswith(b"bye\n") and attached.wait(10) == 5

    def test_stop_sends_the_signal_that_is_named(self, lamella: Lamella, bb: str) -> None:
        lamella(
            "run", "-d", "--name", "usr", "--network", "none", bb, "sh", "-c",
            "trap 'exit 9' USR1; while :; do sleep 0.05; done",
        )  # fmt: skip
        time.sleep(0.3)
        lamella("stop", "-s", "USR1", "usr")
        assert lamella("inspect", "-f", "{{.State.ExitCode}}", "usr").stdout == "9\n"

    def test_t_needs_no_terminal_but_it_does(self, lamella: Lamella, bb: str) -> None:
        assert lamella("run", "--rm", "-t", "--network", "none", bb, "tty").stdout == "/dev/pts/0\n"
        done = lamella("run", "--rm", "-it", "--network", "none", bb, "tty", check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 125 and "not a TTY" in done.stderr
