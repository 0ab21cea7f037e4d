"""Before a container comes onto an overlay network: the network is known here, and this host's agent is at work.

To be called in the host's own namespaces, where an agent can outlive the container that needed it first.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path

from core.errors import Conflict, LamellaError, Unavailable
from core.locks import FileLock, is_locked
from network.overlay import ALIVE
from network.overlay.agent import GATE, Agent, settle_down
from network.overlay.allocation import learn
from network.overlay.etcd import Etcd
from network.overlay.records import DRIVER
from network.overlay.settings import require
from network.tables import NetworkNotFound, Networks

_PATIENCE = 30.0  # seconds for an agent to begin
_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_OWN_WORDS = "\0"  # before what the agent says itself
_READY = b"\0ready"
_MOST = 1 << 16  # bytes of what it says


@contextlib.contextmanager
def ready(root: Path, state: Path, names: Iterable[str]) -> Iterator[None]:
    """For the block, the agent is there if one of these networks, by name or ID, is an overlay; and networks that other hosts
    have made are known. Raises Unavailable where etcd is needed and away."""
    networks = Networks(root)
    try:
        drivers = {_find(root, networks, name) for name in names}
    finally:
        networks.close()
    if DRIVER not in drivers:
        yield
        return
    with FileLock(state / GATE).held(shared=True):
        start(root, state)
        yield


def _find(root: Path, networks: Networks, name: str) -> str:
    """The driver of the network, asked of etcd where nothing here has the name; empty where that does not know it either."""
    with contextlib.suppress(NetworkNotFound):
        return networks.find(name).driver
    with Etcd(require(root)) as etcd:
        learn(networks, etcd)
    with contextlib.suppress(NetworkNotFound):
        return networks.find(name).driver
    return ""


def refresh(root: Path, networks: Networks) -> None:
    """Let the catalog know the networks of all hosts. Raises Unavailable where etcd is away."""
    with Etcd(require(root)) as etcd:
        learn(networks, etcd)


def start(root: Path, state: Path) -> None:
    """Start an agent if there is none, and wait until it is at work. Raises Unavailable with what it says."""
    with FileLock(state / "agent.start").held():
        if is_locked(state / ALIVE):
            return
        listen, tell = os.pipe()
        try:
            _spawn(root, state, tell)
        finally:
            os.close(tell)
        with os.fdopen(listen, "rb", buffering=0) as pipe:
            said = _heard(pipe)
    if not said.endswith(_READY):
        message, _, hint = _why(said.decode(errors="replace")).partition("\n")
        raise Unavailable(f"the network agent cannot begin: {message}", hint or "try again")


def _heard(pipe: FileIO) -> bytes:
    """All that the agent says until it is at work, or has ended."""
    said, end = b"", time.monotonic() + _PATIENCE
    while not said.endswith(_READY) and len(said) < _MOST:
        if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            return b"it takes too long"
        piece = pipe.read(4096)
        if not piece:
            break
        said += piece
    return said


def _why(said: str) -> str:
    """What an agent that has ended said of it: its own words, or the last line of what Python or the system wrote."""
    _, own, words = said.rpartition(_OWN_WORDS)
    return (
        words if own else next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it was killed")
    )


def _spawn(root: Path, state: Path, tell: int) -> None:
    top = str(Path(__file__).parent.parent)
    program = (
        f"import sys; sys.path[:0] = [{top!r}]; from pathlib import Path; from runtime.overlaying import tend; "
        f"tend(Path({str(root)!r}), Path({str(state)!r}), {tell})"
    )
    if tell >= 0:
        os.set_inheritable(tell, True)
    silent: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)
    ]
    if tell >= 0:  # what it may still say when it cannot even begin
        silent.append((os.POSIX_SPAWN_DUP2, tell, 2))
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", "-E", "-c", program],
        _ENV,
        file_actions=silent,
        setsid=True,
        setsigmask=[],
    )


def tend(root: Path, state: Path, tell: int) -> None:
    """Be the agent that was spawned: say on `tell` that it works, or why it does not. -1: nobody waits, neither for etcd."""
    settle_down([tell] if tell >= 0 else [])
    try:
        serve(root, state, (lambda: _say(tell, _READY)) if tell >= 0 else None)
    except LamellaError as error:
        _say(tell, f"{_OWN_WORDS}{error.message}\n{error.hint or ''}".encode())


def _say(tell: int, what: bytes) -> None:
    with contextlib.suppress(OSError):  # who asked has been killed, or has heard already
        os.write(tell, what)
        os.close(tell)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)


def serve(root: Path, state: Path, begun: Callable[[], None] | None) -> None:
    """Be the agent until no container is on an overlay network any more; `begun` is called when it is at work. Without, it does
    not mind that etcd is away at the beginning.

    Raises Conflict where there is one already, and otherwise Unavailable."""
    from runtime.leaving import is_alive

    lock = FileLock(state / ALIVE)
    if not lock.acquire(wait=False):
        raise Conflict("the network agent of this store is at work already", "there is nothing to do")
    try:
        with Agent(root, state, require(root), lambda id: is_alive(root, id)) as agent:
            if begun is not None:
                agent.begin()
                begun()
            agent.run()
    finally:
        lock.release()


def revive(root: Path, state: Path) -> None:
    """Start the agent again, which was killed, and wait for nothing. Harmless to repeat."""
    with FileLock(state / "agent.start").held():
        if not is_locked(state / ALIVE):
            _spawn(root, state, -1)
