"""What `lamella build` lets RUN steps have: each form of each flag, and each mistake in one line."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.ops.mounts import MAX_SECRET
from builder.request import Agent
from cli.build_grants import agents, jobs, limits, rights, secrets
from core.errors import InvalidInput, LamellaError, NotFound
from runtime.step import Limit
from tests.cli.conftest import Said

ENVIRON = {"TOKEN": "value", "SSH_AUTH_SOCK": "/run/agent"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with a file, a large one, and a socket."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").write_bytes(b"content\n")
    (tmp_path / "large").write_bytes(b"x" * (MAX_SECRET + 1))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")


@pytest.mark.parametrize(
    ("text", "id", "value"),
    [
        ("id=a,src=file", "a", b"content\n"),
        ("id=a,source=~/file", "a", b"content\n"),
        ("type=file,id=file", "file", b"content\n"),
        ("ID=a,TYPE=file,SRC=file", "a", b"content\n"),
        ("id=file", "file", b"content\n"),
        ("id=TOKEN", "TOKEN", b"value"),
        ("id=a,env=TOKEN", "a", b"value"),
        ("id=a,type=env,src=TOKEN", "a", b"value"),
        ("type=env,id=TOKEN", "TOKEN", b"value"),
        ('id=a,"src=file"', "a", b"content\n"),
    ],
)
def test_a_secret_comes_from_a_file_or_a_variable(text: str, id: str, value: bytes) -> None:
    assert secrets([text], ENVIRON) == {id: value}


@pytest.mark.parametrize(
    ("text", "family", "said"),
    [
        ("src=file", InvalidInput, "has no id"),
        ("hunter2", InvalidInput, "its keys are"),
        ("id=a,value=hunter2", InvalidInput, "its keys are"),
        ('id=a,"src=hunter2', InvalidInput, "quotes"),
        ("id=a,type=vault", InvalidInput, "no type 'vault'"),
        ("id=a,src=nonesuch", NotFound, "--secret a: there is no file nonesuch"),
        ("id=a,src=.", InvalidInput, "cannot read"),
        ("id=a,env=NONESUCH", NotFound, "no variable NONESUCH"),
        ("id=a,src=large", InvalidInput, "larger than 500 KiB"),
    ],
)
def test_a_wrong_secret_is_refused_without_a_word_of_it(text: str, family: type[LamellaError], said: str) -> None:
    with pytest.raises(family, match=said) as caught:
        secrets([text], ENVIRON)
    assert "hunter2" not in str(caught.value) + (caught.value.hint or "")


def test_an_agent_is_the_users_own_or_a_socket_or_keys(tmp_path: Path) -> None:
    given = ["default", "a=socket", "b=file", "c=~/file,file"]
    key = str(tmp_path / "file")
    assert agents(given, ENVIRON) == {
        "default": Agent("/run/agent"), "a": Agent(str(tmp_path / "socket")), "b": Agent(keys=(key,)),
        "c": Agent(keys=(key, key)),
    }  # fmt: skip


def test_limits_have_a_soft_and_a_hard_value() -> None:
    given = ["nofile=1:2", "core=-1", "nofile=1024:-1", "nproc=5"]
    assert limits(given) == (Limit("core", -1, -1), Limit("nofile", 1024, -1), Limit("nproc", 5, 5))


def test_rights_may_be_many() -> None:
    assert rights(["security.insecure,network.host", "device=v/c=n"]) == {
        "security.insecure",
        "network.host",
        "device=v/c=n",
    }
    assert (jobs(None), jobs("0"), jobs("3")) == (0, 0, 3)


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: agents(["=x"], ENVIRON), "invalid --ssh"),
    (lambda: agents(["default"], {}), "SSH_AUTH_SOCK is not set"),
    (lambda: agents(["a=nonesuch"], {}), "nonesuch: no such file"),
    (lambda: agents(["a=."], {}), "neither a socket nor a file"),
    (lambda: agents(["a=socket,file"], {}), "a socket goes alone"),
    (lambda: limits(["nofiles=1"]), "no limit 'nofiles'"),
    (lambda: limits(["nofile"]), "invalid --ulimit"),
    (lambda: limits(["nofile=a:b"]), "SOFT"),
    (lambda: limits(["nofile=2:1"]), "above the hard one"),
    (lambda: limits(["nofile=-1:1"]), "above the hard one"),
    (lambda: limits(["nofile=-2"]), "above the hard one"),
    (lambda: rights(["security.insecur"]), "did you mean security.insecure"),
    (lambda: jobs("two"), "invalid --jobs"),
    (lambda: jobs("-1"), "invalid --jobs"),
]


@pytest.mark.parametrize(("read", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_mistake_is_told_in_one_line(read: Callable[[], Any], said: str) -> None:
    with pytest.raises(LamellaError) as caught:
        read()
    assert said in f"{caught.value.message} {caught.value.hint}" and "\n" not in caught.value.message


@pytest.mark.parametrize(
    "flag",
    ["--rm", "--force-rm", "--compress", "--isolation=default", "--security-opt=x", "-m 1g", "--memory-swap=1g", "-c 2",
     "--cpu-period=1", "--cpu-quota=1", "--cpu-shares=2", "--cpuset-cpus=0", "--cpuset-mems=0", "--cgroup-parent=x",
     "--allow=network.host", "--rm=false"],
)  # fmt: skip
def test_what_says_nothing_here_is_accepted(cli: Callable[..., Said], flag: str) -> None:
    said = cli("build", *flag.split(), "--call=targets", "--help")
    assert said.code == 0 and said.err == ""
