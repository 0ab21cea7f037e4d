"""`lamella build` as a user meets it: options, output, errors, interrupts."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs

pytestmark = needs("crun")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "Dockerfile").write_text("FROM bb\nRUN echo hi >/hi\n")
    return directory


def test_links_that_lead_out_of_the_context_are_not_followed(lamella, tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").symlink_to(tmp_path / "secret")
    for options in ([], ["-f", context / "Dockerfile"], ["-f", "Dockerfile"]):
        done = lamella("build", *options, context, check=False)
        assert "no Dockerfile at" in done.stderr and "hush" not in done.stderr
    (context / "real").write_text("FROM scratch\nCOPY data /\n")
    (context / "data").touch()
    (context / "Dockerfile").unlink()
    (context / "Dockerfile").symlink_to("/real")
    (tmp_path / "rules").write_text("data\n")
    (context / ".dockerignore").symlink_to(tmp_path / "rules")
    done = lamella("build", context, check=False)
    assert done.returncode == 1 and "failed to read .dockerignore: leads to nothing in the context" in done.stderr
    (context / ".dockerignore").unlink()
    assert lamella("build", context).returncode == 0


def test_quiet_prints_the_id_and_nothing_else(lamella, base, context, tmp_path):
    done = lamella("build", "-q", "--iidfile", tmp_path / "iid", context)
    assert done.stderr == "" and done.stdout == (tmp_path / "iid").read_text() + "\n"
    assert done.stdout.startswith("sha256:") and len(done.stdout) == 72


def test_progress_is_plain_where_there_is_no_terminal_and_goes_to_stderr(lamella, base, context):
    done = lamella("build", context)
    assert done.stdout == ""
    assert "\n#3 [2/2] RUN echo hi >/hi\n#3 DONE " in done.stderr


def test_progress_can_be_json(lamella, base, context):
    lines = [json.loads(line) for line in lamella("build", "--progress=rawjson", context).stderr.splitlines()]
    names = {vertex["name"] for line in lines for vertex in line.get("vertexes", ())}
    assert "[2/2] RUN echo hi >/hi" in names


def test_a_step_that_changes_nothing_leaves_nothing(lamella, base, context, store_root):
    """Mount points that the image lacks (etc/hosts, ...) are made for the step and go, with what overlayfs copied up for them."""
    (context / "Dockerfile").write_text(
        "FROM bb\nRUN true\nRUN cat /etc/hosts /etc/passwd\nRUN touch /etc/x; rm /etc/x\n"
    )
    lamella("build", "-q", "-t", "app", context)
    data = json.loads(lamella("image", "inspect", "app").stdout)[0]["GraphDriver"]["Data"]
    top, *_, nothing, _ = [Path(path) for path in (data["UpperDir"], *data["LowerDir"].split(":"))]
    assert os.listdir(nothing) == [] and os.listdir(top) == ["etc"] and os.listdir(top / "etc") == []


def test_a_build_can_have_several_names(lamella, base, context):
    lamella("build", "-q", "-t", "one", "-t", "localhost:5000/two:2.0", context)
    ids = {lamella("build", "-q", "-", input=f"FROM {name}\n").stdout for name in ("one", "localhost:5000/two:2.0")}
    assert len(ids) == 1


@pytest.mark.parametrize("name", ["UPPER", "a:b:c", "x@sha256:" + "0" * 64, ""])
def test_a_malformed_name_is_refused_before_anything_is_done(lamella, context, name, store_root):
    done = lamella("build", "-t", name, context, check=False)
    assert done.returncode == 1 and "invalid" in done.stderr and not store_root.exists()


def test_the_dockerfile_can_be_elsewhere_or_on_stdin(lamella, base, context, tmp_path):
    (tmp_path / "other").write_text("FROM bb\nCOPY Dockerfile /d\n")
    first = lamella("build", "-q", "-f", tmp_path / "other", context).stdout
    assert first == lamella("build", "-q", "-f", "-", context, input=(tmp_path / "other").read_text()).stdout


def test_stdin_can_be_a_dockerfile_alone_or_a_whole_context(lamella, base, tmp_path):
    assert lamella("build", "-q", "-", input="FROM bb\n").stdout.startswith("sha256:")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in (("Dockerfile", "FROM bb\nCOPY f /f\nRUN cat /f\n"), ("f", "from the tar\n")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    (tmp_path / "context.tgz").write_bytes(buffer.getvalue())
    with (tmp_path / "context.tgz").open() as stdin:
        assert "from the tar" in lamella("build", "-", stdin=stdin).stderr


def test_build_args_without_a_value_come_from_the_environment(lamella, base, context):
    (context / "Dockerfile").write_text("FROM bb\nARG V\nRUN echo v=$V\n")
    assert "v=here" in lamella("build", "--build-arg", "V", context, env={"V": "here"}).stderr


def test_hosts_can_be_added_and_the_network_cut(lamella, base, context):
    (context / "Dockerfile").write_text("FROM bb\nRUN grep there /etc/hosts; ls /sys/class/net\n")
    said = lamella("build", "--network=none", "--add-host=there:10.1.2.3", context).stderr
    assert "10.1.2.3" in said and "eth0" not in said


def test_a_failing_step_tells_its_last_lines_its_code_and_its_line(lamella, base, context):
    (context / "Dockerfile").write_text("FROM bb\n\nRUN echo working; echo broken >&2; exit 42\nCMD x\n")
    done = lamella("build", "-q", context, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "broken" in done.stderr and "exit code: 42" in done.stderr
    assert "   3 | >>> RUN echo working" in done.stderr and "lamella: Dockerfile:3: process" in done.stderr


def test_every_steps_whole_output_is_kept_in_a_file(lamella, base, context, store_root):
    (context / "Dockerfile").write_text("FROM bb\nRUN seq 20000\n")
    lamella("build", "-q", context)
    (log,) = store_root.glob("builds/*/001-*.log")
    assert log.read_text().splitlines() == [str(n) for n in range(1, 20001)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RUN true\n", "Dockerfile:1"),
        ("FROM bb\nRUNN true\n", "did you mean RUN?"),
        ("FROM bb\nENV a='x\n", "Dockerfile:2"),
        ("", "Dockerfile"),
    ],
)
def test_a_mistake_in_the_dockerfile_is_shown_with_its_line(lamella, base, context, text, said):
    (context / "Dockerfile").write_text(text)
    done = lamella("build", "-q", context, check=False)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_contexts_that_cannot_be_are_refused_clearly(lamella, tmp_path):
    assert "does not exist" in lamella("build", tmp_path / "nope", check=False).stderr
    (tmp_path / "file").write_text("")
    assert "is not a directory" in lamella("build", tmp_path / "file", check=False).stderr
    assert "no Dockerfile" in lamella("build", tmp_path, check=False).stderr


def test_dockers_old_options_are_accepted(lamella, base, context):
    lamella(
        "build",
        "-q",
        "--rm",
        "--force-rm",
        "--compress",
        "-m",
        "1g",
        "--squash",
        context,
    )


def test_two_builds_at_once_share_one_store(lamella, base, context, store_root):
    command = [sys.executable, "-m", "lamella", "build", "-q", "--no-cache", str(context)]
    env = {**os.environ, "LAMELLA_ROOT": str(store_root)}
    running = [subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[0] for process in running]
    assert all(one.startswith("sha256:") for one in said)


def start(context: Path, store_root: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """A build that has come to a step that takes long."""
    (context / "Dockerfile").write_text("FROM bb\nRUN echo first >/first\nRUN echo started; sleep 4321\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "lamella", "build", str(context)], cwd=ROOT, start_new_session=True, text=True,
        env={**os.environ, "LAMELLA_ROOT": str(store_root)}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr
    for line in process.stderr:
        if line.endswith("started\n"):
            break
    return process


def sleepers() -> list[str]:
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if b"sleep\x004321" in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(name)
        except OSError:
            continue
    return found


def gone(what, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while what() and time.monotonic() < end:
        time.sleep(0.02)
    return not what()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_build_leaves_nothing_and_keeps_what_was_done(
    lamella, base, context, store_root, tmp_path, number, code
):
    process = start(context, store_root, tmp_path)
    os.kill(process.pid, number)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == code and "Traceback" not in said
    assert gone(sleepers) and str(store_root) not in Path("/proc/mounts").read_text()
    if number != signal.SIGKILL:
        assert not os.listdir(store_root / "snapshots")
    (context / "Dockerfile").write_text("FROM bb\nRUN echo first >/first\nRUN cat /first\n")
    said = lamella("build", context).stderr
    assert " first\n" in said and (number == signal.SIGKILL or "#3 CACHED" in said)


def test_a_base_that_is_not_here_is_pulled(lamella, base, context, registry):
    name = f"{registry}/team/base:1"
    lamella("tag", "bb", name)
    lamella("push", "-q", name)
    lamella("rmi", "-f", "bb", name)
    (context / "Dockerfile").write_text(f"FROM {name}\nRUN echo pulled\n")
    assert "pulled" in lamella("build", context).stderr
    done = lamella("build", "-q", "-", input=f"FROM {registry}/team/nope\n", check=False)
    assert done.returncode == 1 and "-:1:" in done.stderr and "nope" in done.stderr


@needs("crun")
def test_a_terminal_that_cannot_redraw_gets_plain_lines(base: str, store_root: Path, tmp_path: Path) -> None:
    from tests.suites.terminal import Terminal

    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN echo the''re\n")
    with Terminal(store_root, "build", str(tmp_path)) as term:  # its TERM is dumb
        term.expect(" there\r\n")
        assert term.exit_code() == 0
        assert b"\x1b" not in term.seen
