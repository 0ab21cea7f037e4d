"""RUN --mount=type=ssh: an agent's signatures for one step, and nothing else of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.ops.mounts_ssh import offered
from builder.request import Agent
from core.errors import InvalidInput, NotFound
from tests.conftest import needs

pytestmark = needs("crun", "ssh-agent", "ssh-add", "ssh-keygen")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ssh") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", path], check=True)
    return path


@pytest.fixture
def agent(key: Path, tmp_path: Path) -> Iterator[str]:
    """The socket of a running agent that has the key."""
    with subprocess.Popen(["ssh-agent", "-D", "-a", "agent"], cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        path = str(tmp_path / "agent")
        try:
            while not is_listening(path):  # it has its name a moment before it listens
                assert process.poll() is None
                time.sleep(0.01)
            subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": path}, check=True)
            yield path
        finally:
            process.terminate()


def is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def through(agent: Agent, place: Path, **fields: int) -> Iterator[dict[str, str]]:
    """The environment of a client of what a step would get."""
    place.mkdir()
    with offered(agent, place, fields.get("mode", 0o600), fields.get("uid", 0), fields.get("gid", 0)) as path:
        short = place.with_name("short")  # programs take no longer name than an address has room for
        short.unlink(missing_ok=True)
        short.symlink_to(path)
        yield {**os.environ, "SSH_AUTH_SOCK": str(short)}


def client(environ: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, words)), env=environ, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["socket", "keys"])
def test_keys_are_listed_and_sign_and_cannot_be_taken_away(kind: str, key: Path, agent: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("to be signed")
    behind = Agent(agent) if kind == "socket" else Agent(keys=(str(key),))
    with through(behind, tmp_path / ("long-" * 30 + "name")) as environ:
        assert "ED25519" in client(environ, "ssh-add", "-l").stdout
        assert (
            client(environ, "ssh-keygen", "-Y", "sign", "-f", f"{key}.pub", "-n", "file", tmp_path / "text").returncode
            == 0
        )
        assert (tmp_path / "text.sig").read_text().startswith("-----BEGIN SSH SIGNATURE")
        for words in (["-D"], ["-x"], ["-d", key]):
            assert client(environ, "ssh-add", *words).returncode != 0
        assert "ED25519" in client(environ, "ssh-add", "-l").stdout
    assert client(environ, "ssh-add", "-l").returncode == 2


def test_many_ask_at_once_and_nonsense_ends_a_connection_alone(agent: str, tmp_path: Path) -> None:
    with through(Agent(agent), tmp_path / "place") as environ:
        for nonsense in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\5\x0b", b""):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(environ["SSH_AUTH_SOCK"])
                sock.sendall(nonsense)
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(10) == b""
        codes: list[int] = []
        threads = [
            threading.Thread(target=lambda: codes.append(client(environ, "ssh-add", "-l").returncode)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [0] * 8


def test_a_key_with_a_passphrase_or_none_at_all_is_an_error(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "locked", "-f", tmp_path / "id"], check=True)
    (tmp_path / "text").write_text("no key")
    for number, name in enumerate(("id", "text")):
        with (
            pytest.raises(InvalidInput, match=f"cannot use the ssh key .*/{name}"),
            through(Agent(keys=(str(tmp_path / name),)), tmp_path / str(number)),
        ):
            pass
    with (
        pytest.raises(NotFound, match=r"socket .* is not there"),
        through(Agent(str(tmp_path / "gone")), tmp_path / "x"),
    ):
        pass


SLOW = """#!{python}
import os, socket, time
early = socket.socket(socket.AF_UNIX)
early.bind("agent")  # as a name that nobody listens at
time.sleep(0.3)
os.unlink("agent")
os.execv({agent!r}, ["ssh-agent", "-D", "-a", "agent"])
"""


def test_an_agent_for_keys_may_take_its_time(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "bin/ssh-agent"
    slow.parent.mkdir()
    slow.write_text(SLOW.format(python=sys.executable, agent=shutil.which("ssh-agent")))
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    with through(Agent(keys=(str(key),)), tmp_path / "place") as environ:
        assert "ED25519" in client(environ, "ssh-add", "-l").stdout


def test_a_step_gets_the_agents_that_it_asks_for(build, agent: str, key: Path) -> None:
    text = (
        "FROM bb\n"
        "RUN --mount=type=ssh echo $SSH_AUTH_SOCK; stat -c '%F %a %u' $SSH_AUTH_SOCK\n"
        "RUN --mount=type=ssh,id=deploy,target=/s,mode=0666,uid=5 --mount=type=ssh echo $SSH_AUTH_SOCK; stat -c '%a %u' /s; ls /run/buildkit\n"
        "RUN --mount=type=ssh,id=nobody echo ${SSH_AUTH_SOCK-none}; ! ls /run 2>/dev/null\n"
    )
    printed = build(text, "--ssh=default", f"--ssh=deploy={key}", env={"SSH_AUTH_SOCK": agent}).printed()
    assert printed == ["/run/buildkit/ssh_agent.0", "socket 600 0", "/s", "666 5", "ssh_agent.1", "none"]
    done = build("FROM bb\nRUN --mount=type=ssh,required true\n", check=False)
    assert done.code == 1 and "Dockerfile:2: the ssh agent default is required" in done.said


def test_a_program_in_a_step_uses_the_agent(lamella, context: Path, key: Path) -> None:
    program = shutil.which("ssh-add")
    assert program
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in [program, *re.findall(r"/\S+", libraries)]:
        target = context / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (context / "Dockerfile").write_text(f'FROM scratch\nCOPY . /\nRUN --mount=type=ssh ["{program}", "-l"]\n')
    assert "mine (ED25519)" in lamella("build", f"--ssh=default={key}", context).stderr
