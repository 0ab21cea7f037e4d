"""`--mount=type=ssh`: a socket that lets a step ask an ssh agent for signatures, and for nothing else.

The agent's own socket is not mounted: its owner and mode are its user's, and whoever talks to it may take keys away. What
is listened to here passes on two requests (draft-ietf-sshm-ssh-agent, section 3) and refuses all others.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from builder.request import Agent
from core.errors import InvalidInput, NotFound, Unavailable
from core.process import find_program

_LIST, _SIGN = 11, 13  # SSH_AGENTC_REQUEST_IDENTITIES, SSH_AGENTC_SIGN_REQUEST
_FAILURE = b"\0\0\0\1\5"  # SSH_AGENT_FAILURE
_LARGEST = 256 << 10
_START_SECONDS = 10.0


@contextlib.contextmanager
def offered(agent: Agent, place: Path, mode: int, uid: int, gid: int) -> Iterator[Path]:
    """The path of a socket in the empty directory `place` that speaks for `agent`, until the block ends.

    Raises NotFound, Unavailable where there is no such agent, InvalidInput for a key that cannot be used.
    """
    with contextlib.ExitStack() as stack:
        behind = stack.enter_context(speaking(agent, place))
        path = place / "socket"
        with socket.socket(socket.AF_UNIX) as listener:
            with short_path(path) as name:
                listener.bind(name)
            os.chown(path, uid, gid)
            os.chmod(path, mode)
            listener.listen()
            threading.Thread(target=_accept, args=(listener, behind), name="ssh", daemon=True).start()
            try:
                yield path
            finally:
                listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def speaking(agent: Agent, place: Path) -> Iterator[str]:
    """The path of the agent's own socket, for programs of this machine; one that has to be started is so in the empty
    directory `place`, and ends with the block. Raises as `offered`."""
    with contextlib.ExitStack() as stack:
        path = agent.socket or stack.enter_context(_agent_with(agent.keys, place))
        if not os.path.exists(path):
            raise NotFound(f"the ssh agent's socket {path} is not there", "start the agent: eval $(ssh-agent)")
        yield path


@contextlib.contextmanager
def short_path(path: str | Path) -> Iterator[str]:
    """A name for `path` that fits into a socket's address (unix(7): 108 bytes), in other processes too."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/{os.readlink('/proc/self')}/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)


def _accept(listener: socket.socket, behind: str) -> None:
    with contextlib.suppress(OSError):  # it was shut down
        while True:
            asking, _ = listener.accept()
            threading.Thread(target=_serve, args=(asking, behind), name="ssh", daemon=True).start()


def _serve(asking: socket.socket, behind: str) -> None:
    with contextlib.suppress(OSError), asking, socket.socket(socket.AF_UNIX) as answering, short_path(behind) as name:
        answering.connect(name)
        while request := _message(asking):
            if request[4] not in (_LIST, _SIGN):
                asking.sendall(_FAILURE)
                continue
            answering.sendall(request)
            asking.sendall(_message(answering) or _FAILURE)


def _message(source: socket.socket) -> bytes:
    """One message with its length before it; empty where there is none, or one that no agent would take."""
    head = _exactly(source, 4)
    length = int.from_bytes(head, "big")
    body = _exactly(source, length) if 0 < length <= _LARGEST else b""
    return head + body if body else b""


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            return b""
        data += more
    return data


@contextlib.contextmanager
def _agent_with(keys: tuple[str, ...], place: Path) -> Iterator[str]:
    """The socket of an agent of our own that has these private keys: OpenSSH's, which ends with the block."""
    program, add = find_program("ssh-agent"), find_program("ssh-add")
    if not program or not add:
        raise NotFound("--ssh with a key file needs ssh-agent and ssh-add", "install the package openssh-client")
    quiet = subprocess.DEVNULL
    agent = subprocess.Popen([program, "-D", "-a", "agent"], cwd=place, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        _wait_for(place / "agent", agent)
        for key in keys:
            _add(add, key, place)
        yield str(place / "agent")
    finally:
        agent.kill()
        agent.wait()


def _wait_for(path: Path, agent: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while not _is_listening(path):  # it has its name a moment before
        if agent.poll() is not None or time.monotonic() > end:
            raise Unavailable("ssh-agent does not start", "try `ssh-agent -D` by hand")
        time.sleep(0.002)


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client, short_path(path) as name:
        return client.connect_ex(name) == 0


def _add(program: str, key: str, place: Path) -> None:
    # Nobody can be asked for a passphrase.
    environ = {
        "SSH_AUTH_SOCK": "agent",
        "SSH_ASKPASS": "/bin/false",
        "SSH_ASKPASS_REQUIRE": "force",
        "PATH": "/usr/bin:/bin",
    }
    with open(key, "rb") as file:  # by its descriptor, for ssh-add is not where relative names were meant from
        done = subprocess.run(
            [program, "-q", "-"], cwd=place, env=environ, stdin=file, capture_output=True, check=False
        )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise InvalidInput(
            f"cannot use the ssh key {key}: {said[0]}",
            "give a private key without a passphrase, or the socket of an agent that has it",
        )
