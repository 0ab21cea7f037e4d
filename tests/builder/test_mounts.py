"""RUN --mount: what a step sees of it, what stays of it, and what makes the step run again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.probe import installed
from runtime.state import state_directory
from tests.conftest import ROOT, needs

pytestmark = needs("crun")


def ran(done) -> int:
    """How many RUN steps were not taken from the cache."""
    return sum(line.endswith(": DONE") and line.startswith("RUN") for line in done.steps)


# --- bind


def test_the_context_is_there_read_only_and_leaves_no_trace(build, lamella):
    text = "FROM bb\nWORKDIR /w\nRUN --mount=target=/deep/er/src cat /deep/er/src/a; touch /deep/er/src/b\n"
    done = build(text, files={"a": "hello\n"}, check=False)
    assert done.printed()[0] == "hello" and "Read-only file system" in done.said
    build(text.replace("touch /deep/er/src/b", "true"), "-t", "app")
    data = json.loads(lamella("image", "inspect", "app").stdout)[0]["GraphDriver"]["Data"]
    assert os.listdir(data["UpperDir"]) == []


def test_times_above_a_mount_point_stay(build):
    text = "FROM bb\nRUN mkdir /p && touch -d @1000 /p /etc\nRUN --mount=target=/p/src --mount=type=tmpfs,target=/etc/x true\n"
    assert build(text + "RUN stat -c %Y /p /etc; ls /p\n").printed() == ["1000", "1000"]


def test_writing_to_a_writable_one_is_dropped(build, context):
    text = "FROM bb\nRUN --mount=target=/s,rw echo new >/s/a; rm /s/b; cat /s/a; ls /s\nRUN --mount=target=/s cat /s/a /s/b\n"
    done = build(text, files={"a": "old\n", "b": "b\n"})
    assert done.printed() == ["new", "Dockerfile", "a", "old", "b"]
    assert (context / "a").read_text() == "old\n"


def test_what_is_ignored_is_not_there(build):
    files = {"a": "a\n", "dir/b": "b\n", "dir/c": "c\n", ".dockerignore": "a\ndir/b\n"}
    done = build("FROM bb\nRUN --mount=target=/s cd /s; find . -type f | sort\n", files=files)
    assert done.printed() == ["./.dockerignore", "./Dockerfile", "./dir/c"]


def test_a_source_that_is_ignored_or_missing_says_so(build):
    files = {"a": "a\n", ".dockerignore": "# one\na\n"}
    done = build("FROM bb\nRUN --mount=source=a,target=/s true\n", files=files, check=False)
    assert done.code == 1 and "excluded by .dockerignore line 2" in done.said and "Dockerfile:2" in done.said
    done = build("FROM bb\nRUN --mount=source=b,target=/s true\n", check=False)
    assert done.code == 1 and "b: not found in the build context" in done.said
    done = build("FROM bb\nRUN --mount=from=bb,source=etc/nonesuch,target=/s true\n", check=False)
    assert done.code == 1 and "etc/nonesuch: not found" in done.said and "Dockerfile:2" in done.said


def test_a_source_is_a_path_inside_and_names_no_pattern(build):
    files = {"dir/a": "a\n", "[a]": "odd\n", "a": "no\n"}
    mounts = "--mount=source=../../dir,target=/d --mount=source=/dir/a,target=/f --mount=source=[a],target=/odd"
    assert build(f"FROM bb\nRUN {mounts} ls /d; cat /f /odd\n", files=files).printed() == ["a", "a", "odd"]


def test_owners_are_roots_and_sockets_are_none(build, context):
    for name in ("own", "talk"):
        (context / name).mkdir()
    (context / "own/mine").write_text("x")
    os.chown(context / "own/mine", 1000, 0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(context / "talk/sock"))
        text = (
            "FROM bb\nRUN --mount=source=own,target=/o --mount=source=talk,target=/t stat -c '%u %F' /o/mine /t/sock\n"
        )
        assert build(text).printed() == ["0 regular file", "0 regular empty file"]


def test_files_of_stages_and_images_are_there(build):
    text = "FROM bb AS Other\nRUN mkdir /o && echo o >/o/f\nFROM bb\nRUN --mount=from=other,source=/o,target=/m --mount=from=bb,target=/bb,rw "
    text += "cat /m/f; head -n1 /bb/etc/group; echo x >/bb/x; touch /m/x\n"
    done = build(text, check=False)
    assert done.printed() == ["o", "root:x:0:", "touch: /m/x: Read-only file system"]


def test_a_mount_can_stand_in_another(build, context):
    mounts = "--mount=target=/s --mount=type=cache,target=/s/deep/cache --mount=type=tmpfs,target=/s/tmp"
    done = build(f"FROM bb\nRUN {mounts} echo x >/s/deep/cache/x; cat /s/a /s/deep/cache/x\n", files={"a": "a\n"})
    assert done.printed() == ["a", "x"]
    assert sorted(os.listdir(context)) == ["Dockerfile", "a"]


def test_the_key_knows_the_content_and_no_time(build, context):
    text = "FROM bb\nRUN --mount=source=in,target=/s{} true\n"
    assert ran(build(text.format(""), files={"in/a": "1", "out": "1"})) == 1
    assert ran(build(text.format(""), files={"out": "2"})) == 0
    os.utime(context / "in/a", (5, 5))
    assert ran(build(text.format(""))) == 0
    assert ran(build(text.format(""), files={"in/a": "2"})) == 1
    assert ran(build(text.format(",rw"))) == 1
    assert ran(build(text.format("2"))) == 1


def test_a_stage_whose_files_are_the_same_again_changes_nothing(build):
    text = "FROM bb AS one\nRUN echo {} >/dev/null; echo same >/f\nFROM bb\nRUN --mount=from=one,source=f,target=/f cat /f\n"
    assert ran(build(text.format(1))) == 2
    assert ran(build(text.format(1))) == 0
    assert ran(build(text.format(2))) == 1


# --- cache


def test_a_cache_keeps_its_files_and_the_image_has_none_of_them(build, lamella):
    text = "FROM bb\nRUN --mount=type=cache,target=/c echo {} >>/c/f; cat /c/f\nRUN ls / /c\n"
    assert build(text.format(1), check=False).printed()[0] == "1"
    done = build(text.format(2), check=False)
    assert done.printed()[:2] == ["1", "2"] and "/c: No such file" in done.said


def test_caches_go_by_their_id_and_what_they_start_with(build):
    text = (
        "FROM bb AS start\nRUN mkdir /s && echo first >/s/f\nFROM bb\nWORKDIR /w\nARG N\n"
        "RUN --mount=type=cache,target=/w/a echo a >/w/a/n\n"
        "RUN --mount=type=cache,target=./a/ ls /w/a\n"
        "RUN --mount=type=cache,id=/w/a,target=/other ls /other\n"
        "RUN --mount=type=cache,id=/w/a,target=/other,uid=5,gid=6,mode=0750 ls /other; stat -c '%u %g %a' /other\n"
        "RUN --mount=type=cache,id=x,target=/other,from=start,source=s cat /other/f; echo second >/other/f\n"
        "RUN --mount=type=cache,id=x,target=/o,from=start,source=/s cat /o/f\n"
        "RUN --mount=type=cache,target=/w/a,ro cat /w/a/n; touch /w/a/x || true\n"
    )
    printed = build(text).printed()
    assert printed == ["n", "n", "5 6 750", "first", "second", "a", "touch: /w/a/x: Read-only file system"]


def test_a_namespace_keeps_builds_apart(build):
    text = "FROM bb\nRUN --mount=type=cache,target=/c ls /c; touch /c/mine\n"
    assert build(text).printed() == []
    assert build(text, "--no-cache", "--build-arg=BUILDKIT_CACHE_MOUNT_NS=other").printed() == []
    assert build(text, "--no-cache").printed() == ["mine"]


def test_what_a_cache_is_called_or_has_in_it_is_not_in_the_key(build):
    text = "FROM bb\nRUN --mount=type=cache,target=/c{} echo x >>/c/f\n"
    assert ran(build(text.format(""))) == 1
    assert ran(build(text.format(",id=other,sharing=locked"))) == 0


def test_a_device_node_in_a_cache_cannot_be_opened(build):
    text = "FROM bb\nRUN --mount=type=cache,target=/c mknod /c/n c 10 237; (: </c/n) 2>/dev/null && echo opened; true\n"
    assert build(text).printed() == []


def test_one_step_may_mount_a_cache_twice(build):
    mounts = "--mount=type=cache,id=a,target=/a,sharing=locked --mount=type=cache,id=a,target=/b,sharing=locked"
    assert build(f"FROM bb\nRUN {mounts} echo x >/a/x; cat /b/x\n", timeout=60).printed() == ["x"]


# --- tmpfs


def test_a_tmpfs_has_its_size_and_is_gone_afterwards(build):
    text = "FROM bb\nRUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -n1 | awk '{print $2}'; touch /t/x; cp /bin/busybox /t/b 2>/dev/null || echo full\n"
    text += "RUN --mount=type=tmpfs,target=/t cp /bin/busybox /t/echo; /t/echo run\nRUN ls /t\n"
    done = build(text, check=False)
    assert done.printed()[:3] == ["1024", "full", "run"] and "/t: No such file" in done.said


# --- secrets


def test_a_secret_is_a_file_or_a_variable(build, tmp_path):
    (tmp_path / "key").write_bytes(b"from a file\n")
    text = (
        "FROM bb\nWORKDIR /w\n"
        "RUN --mount=type=secret,id=key rev /run/secrets/key; stat -c '%a %u %g' /run/secrets/key; grep /run/secrets /proc/mounts | cut -d' ' -f3\n"
        "RUN --mount=type=secret,id=dir/key,target=here,mode=0440,uid=5,gid=6 rev here; stat -c '%a %u %g' /w/here\n"
        "RUN --mount=type=secret,id=key,env=KEY --mount=type=secret,id=v,env=V,required echo $KEY $V | rev; ! ls /run/secrets 2>/dev/null\n"
        "RUN --mount=type=secret,src=key rev /run/secrets/key\n"
        "RUN --mount=type=secret,target=/etc/key rev /etc/key\n"
        "RUN --mount=type=secret,id=nobody --mount=type=secret,id=nobody,env=N ls /run/secrets 2>/dev/null; echo ${N-unset}\n"
    )
    options = [
        f"--secret=id=key,src={tmp_path}/key",
        f"--secret=id=dir/key,source={tmp_path}/key",
        "--secret=id=v,env=VALUE",
    ]
    printed = build(text, *options, env={"VALUE": "from a variable"}).printed()
    file, variable = "from a file"[::-1], "from a variable"[::-1]  # as they are they would be masked
    assert printed == [
        file, "400 0 0", "tmpfs", file, "440 5 6", f"{variable} {file}", file, file, "unset",
    ]  # fmt: skip


def test_a_secret_that_is_required_and_not_there_stops_the_build(build):
    done = build("FROM bb\nRUN --mount=type=secret,id=k,required true\n", check=False)
    assert done.code == 1 and "Dockerfile:2: the secret k is required" in done.said and "--secret id=k" in done.said


def test_a_secret_that_is_no_text_cannot_be_a_variable(build, tmp_path):
    (tmp_path / "key").write_bytes(b"\xff\0")
    text = "FROM bb\nRUN --mount=type=secret,id=k,env=K true\n"
    done = build(text, f"--secret=id=k,src={tmp_path}/key", check=False)
    assert done.code == 1 and "Dockerfile:2: the secret k is no text" in done.said


def test_another_value_of_a_secret_runs_nothing_again(build):
    text = "FROM bb\nRUN --mount=type=secret,id=k,env=K echo $K\n"
    assert build(text, "--secret=id=k,env=K", env={"K": "one"}).printed() == ["one"]
    assert ran(build(text, "--secret=id=k,env=K", env={"K": "two"})) == 0


def test_a_secret_is_nowhere_afterwards(build, lamella, store_root, tmp_path):
    secret = os.urandom(24).hex()
    (tmp_path / "key").write_text(secret)
    text = (
        "FROM bb AS one\nRUN --mount=type=secret,id=k,target=/deep/k test -s /deep/k && sleep 0.3\n"
        "FROM bb\nRUN --mount=type=secret,id=k,env=K --mount=from=one,target=/one test -n \"$K\"\n"
        "RUN --mount=type=secret,id=k --mount=type=cache,target=/c test -s /run/secrets/k\nRUN --mount=type=secret,id=k cat /run/secrets/k >/dev/null; exit 3\n"
    )  # fmt: skip
    done = build(text, f"--secret=id=k,src={tmp_path}/key", "-t", "app", check=False)
    assert done.code == 1 and "exit code: 3" in done.said
    good = build(text.rpartition("RUN")[0], f"--secret=id=k,src={tmp_path}/key", "-t", "app")
    outputs = [
        done.said,
        good.said,
        *(
            lamella(*words).stdout
            for words in (("history", "--no-trunc", "app"), ("builder", "du"), ("inspect", "app"))
        ),
    ]
    assert not [text for text in outputs if secret in text]
    for place in (store_root, Path("/run/lamella")):
        found = subprocess.run(["grep", "-rlaF", secret, place], capture_output=True, text=True, check=False).stdout
        assert found == ""
    names = subprocess.run(["find", store_root], capture_output=True, text=True, check=True).stdout
    assert "deep" not in names and "secrets" not in names


def test_nobody_can_read_a_secret_while_a_step_has_it(lamella, base, context, store_root, tmp_path):
    secret = os.urandom(24).hex()
    (tmp_path / "key").write_text(secret)
    (context / "Dockerfile").write_text(
        "FROM bb\nRUN --mount=type=secret,id=k --mount=type=cache,target=/c touch /c/begun; while test ! -e /c/end; do sleep 0.05; done\n"
    )
    environ = {**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "lamella", "build", f"--secret=id=k,src={tmp_path}/key", str(context)]
    with subprocess.Popen(words, env=environ, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 30
        while not (found := list(store_root.glob("caches/*/data/begun"))) and time.monotonic() < end:
            time.sleep(0.02)
        assert found
        for name in ("environ", "cmdline"):
            assert not [p for p in Path("/proc").glob(f"[0-9]*/{name}") if secret.encode() in _content(p)]
        assert subprocess.run(["grep", "-rlaF", secret, store_root], capture_output=True, check=False).stdout == b""
        (found[0].parent / "end").touch()
        assert process.wait(30) == 0


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# --- other parts of a RUN


def test_a_heredoc_that_names_its_interpreter_is_executed(build, lamella):
    text = 'FROM bb\nRUN <<PROG\n#!/bin/cat\nI am text: $PATH\nPROG\nRUN <<-"X"\n\t#!/bin/sh\n\techo $0\n\tX\nRUN ls /dev/pipes\n'
    done = build(text, check=False)
    assert done.printed()[:3] == ["#!/bin/cat", "I am text: $PATH", "/dev/pipes/X"] and "No such file" in done.said
    done = build(text.rpartition("RUN")[0], "-t", "app")
    assert done.config.history[-1].created_by == "RUN /bin/sh -c /dev/pipes/X # buildkit"
    data = json.loads(lamella("image", "inspect", "app").stdout)[0]["GraphDriver"]["Data"]
    assert os.listdir(data["UpperDir"]) == []


def test_what_the_script_says_is_in_the_key(build):
    text = "FROM bb\nRUN <<X\n#!/bin/sh\necho {}\nX\n"
    assert build(text.format(1)).printed() == ["1"]
    assert build(text.format(2)).printed() == ["2"]


def test_more_rights_have_to_be_allowed(build):
    text = "FROM bb\nRUN --security=insecure grep CapEff /proc/self/status; mount -t tmpfs x /mnt2 2>&1 || mkdir /m && mount -t tmpfs x /m && echo mounted\n"
    done = build(text, check=False)
    assert done.code == 1 and "Dockerfile:2: RUN --security=insecure is not allowed" in done.said
    assert "--allow security.insecure" in done.said
    assert build(text, "--allow", "security.insecure").printed()[-1] == "mounted"


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("vendor.com/class=name,required", "there is no device vendor.com/class=name here"),
        ("vendor.com/class=", "invalid --device: 'vendor.com/class='"),
        ("a/b=c,requird", "invalid --device"),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_one_line(build, flag, said):
    done = build(f"FROM bb\nRUN --device={flag} true\n", check=False)
    assert done.code == 1 and f"Dockerfile:2: {said}" in done.said and "Traceback" not in done.said


def test_a_device_that_need_not_be_there_is_said_in_the_log(build):
    assert build("FROM bb\nRUN --device=v/c=n true\n").printed() == [
        "there is no device v/c=n here, so it runs without"
    ]


def test_networks_limits_and_memory_are_as_asked_for(build):
    text = "FROM bb\nRUN --network=none ls /sys/class/net\nRUN ulimit -n; df -k /dev/shm | tail -n1 | awk '{print $2}'; grep gate /etc/hosts\n"
    options = ("--ulimit=nofile=99:200", "--shm-size=2m", "--add-host=gate:host-gateway")
    assert build(text, *options).printed() == ["lo", "99", "2048", "127.0.0.1\tgate"]
    assert ran(build(text, *options)) == 0
    assert ran(build(text, "--ulimit=nofile=100", *options[1:])) == 2


def test_a_build_arg_names_the_machine_of_a_step(build):
    text = "FROM bb\nRUN hostname; grep -c box /etc/hosts\n"
    named = ("--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=box")
    assert build(text).printed() == ["buildkitsandbox", "1"]
    assert build(text, *named).printed() == ["box", "1"]
    assert ran(build(text, *named)) == 0
    done = build(text, "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=a\n1.2.3.4 evil", check=False)
    assert done.code == 1 and "Dockerfile:2: invalid BUILDKIT_SANDBOX_HOSTNAME" in done.said


BAD = [
    ("type=bind", "--mount cannot have / as its target"),
    ("type=cache,target=/", "--mount cannot have / as its target"),
    ("type=cache,target=/c,from=0", "from=0 in --mount: a stage needs a name"),
    ("from=localhost:1/nobody,target=/c", "nobody"),
    ("from=late,target=/c", "does not come before"),
    ("type=vol,target=/c", "type=vol"),
    ("type=tmpfs,target=/c,size=x", "size=x"),
    ("type=cache,target=/c,mode=9", "mode=9"),
    ("type=secret,id=a,env=A=B", "env=A=B"),
    ("type=secret", "needs an id"),
    ("target=/c,sharing=locked", "sharing"),
    ("targte=/c", "did you mean target"),
    ("target", "needs a value"),
]


@pytest.mark.parametrize(("mount", "said"), BAD, ids=[mount for mount, _ in BAD])
def test_a_malformed_mount_is_one_error_with_its_line(lamella, context, mount, said):
    (context / "Dockerfile").write_text(f"FROM scratch\n\nRUN --mount={mount} true\nFROM scratch AS late\n")
    done = lamella("build", "--target=0", context, check=False)
    assert done.returncode == 1 and "Dockerfile:3" in done.stderr and said in done.stderr
    assert done.stderr.count("lamella: ") == 1 and "Traceback" not in done.stderr


def test_all_of_it_works_without_an_oci_runtime(build, store_root, tmp_path):
    state = state_directory(store_root)
    engine = {"name": "chroot", "path": "", "options": [], "cgroups": False}
    (state / "runtime.json").write_text(json.dumps({"present": installed(), "engine": engine}))
    (tmp_path / "key").write_text("hush\n")
    mounts = (
        "--mount=target=/s --mount=from=bb,source=etc,target=/e,rw --mount=type=cache,target=/c,uid=5 --mount=type=secret,id=k,env=K "
        "--mount=type=secret,id=k,target=/k --mount=type=tmpfs,target=/t,size=1m --mount=type=cache,target=/s/in"
    )
    script = "cat /s/a; rev /k; echo $K | rev; stat -c %u /c; echo x >/e/x; touch /t/x /c/x /s/in/x; touch /s/x 2>/dev/null || echo no"
    text = f"FROM bb\nRUN {mounts} {script}\nRUN <<X\n#!/bin/sh\nls -d /s /e /c /k /t 2>/dev/null; echo $0\nX\n"
    done = build(text, f"--secret=id=k,src={tmp_path}/key", files={"a": "a\n"})
    assert done.printed() == ["a", "hsuh", "hsuh", "5", "no", "/dev/pipes/X"]
    assert json.loads((state / "runtime.json").read_text())["engine"]["name"] == "chroot"
