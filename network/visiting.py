"""Talking to the steward, and starting one where none is."""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that alone would take longer to load than a container to join
import contextlib
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from core import plain_json as json
from core.closing import Closing
from core.errors import Unavailable
from core.locks import FileLock
from core.rootless import outer_uid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_SECONDS = 20.0
_QUEUE = 128


class Visit(Closing):
    """A connection to the steward, which stays as long as there is one. `fresh`: it has just been started, and knows nobody."""

    def __init__(self, sock: socket.socket, *, fresh: bool) -> None:
        self._socket = sock
        self.fresh = fresh

    def tell(self, order: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Give an order, and wait until it is heeded. Raises Unavailable."""
        try:
            self.send(order, descriptors)
            answer = self._socket.recv(4096)
            if answer == b"welcome":  # to one who did not wait for it at the door
                answer = self._socket.recv(4096)
        except OSError as error:
            raise Unavailable(f"the name service does not answer: {error}", "try again") from error
        if answer != b"ok":
            raise Unavailable(f"the name service refused: {answer.decode(errors='replace')}", "try again")

    def send(self, order: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """The same without waiting: it will be heeded, unless the steward is killed before. Raises OSError."""
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
        self._socket.sendmsg([json.dumps(order, separators=(",", ":")).encode()], passed if descriptors else [])

    def close(self) -> None:
        """Harmless to repeat."""
        self._socket.close()


def visit(state: Path, *, wait: bool = True) -> Visit | None:
    """The steward who is there; None where there is none. Without `wait` it may still be starting."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    sock.settimeout(_SECONDS)
    try:
        sock.connect(_address(state))
        if not wait or sock.recv(64) == b"welcome":
            return Visit(sock, fresh=False)
    except OSError:
        pass
    sock.close()
    return None


def visit_or_start(state: Path, clear: Sequence[str], *, wait: bool = True) -> Visit:
    """The steward who is there, or a new one, which will execute `clear` when nobody hangs on a network any more. Without
    `wait` a new one may still be starting: it hears what is sent to it."""
    found = visit(state)
    if found is not None:
        return found
    with FileLock(state / "steward.lock").held():
        found = visit(state)
        if found is not None:
            return found
        _start(state, clear)
        found = visit(state, wait=wait)
    if found is None:
        raise Unavailable("the name service does not start", "try again")
    found.fresh = True
    return found


def was_killed(state: Path) -> bool:
    """Whether there was a steward here that did not end by itself."""
    return os.path.exists(state / "steward.sock") and visit_is_refused(state)


def forget_killed(state: Path) -> None:
    """Take away what is left of a steward that was killed."""
    with FileLock(state / "steward.lock").held():
        if was_killed(state):
            (state / "steward.sock").unlink()


def visit_is_refused(state: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as sock:
        try:
            sock.connect(_address(state))
        except OSError:
            return True
    return False


def _start(state: Path, clear: Sequence[str]) -> None:
    path = state / "steward.sock"
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as listening:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(_QUEUE)
        os.set_inheritable(listening.fileno(), True)
        top = str(Path(__file__).parent.parent)
        stay = str(state) if outer_uid() else ""
        program = (
            f"import sys; sys.path[:0] = [{top!r}]; from network.steward import main; "
            f"main({listening.fileno()}, {str(state / 'steward.lock')!r}, {list(clear)!r}, {stay!r})"
        )
        silent = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
        os.posix_spawn(
            sys.executable, [sys.executable, "-S", "-E", "-c", program], _ENV, file_actions=silent, setsid=True,
            setsigmask=[],
        )  # fmt: skip


def _address(state: Path) -> str:
    return str(state / "steward.sock")
