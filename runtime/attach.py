"""The caller's terminal or pipes joined to a container under conmon, over conmon's attach socket."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import Unsupported
from core.value import Value
from runtime.box import Box
from runtime.conmon import Monitored
from runtime.container import Container
from runtime.containers import Containers
from runtime.detach_keys import DEFAULT, Watch
from runtime.keeper import ASKING, PASSED_ON, PATIENCE
from runtime.terminal import raw, write_all

CHUNK = 8192
STREAMS = ("stdin", "stdout", "stderr")


class Manner(Value):
    """How to join: which streams, which keys leave it to itself, and whether the signals that we get are passed on."""

    streams: tuple[str, ...] = STREAMS
    keys: bytes = DEFAULT
    signals: bool = True


def attach(containers: Containers, container: Container, state: Path, manner: Manner) -> int | None:
    """Join the caller's streams to a running container until it ends, or the user detaches (None); its exit code.

    Raises NotRunning, and Unsupported where the container is in the foreground of another command.
    """
    from runtime.ending import end_of
    from runtime.enter import NotRunning, send_signal

    def kill(name: str) -> None:
        with contextlib.suppress(NotRunning):
            send_signal(containers, container, state, int(name))

    with end_of(containers, container) as end, _box_of(containers, container, state) as box:
        try:
            joined = Attachment(Joined(container, box, kill), manner)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Unsupported(f"container {container.name} is in the foreground of another command") from error
        return end() if joined.run() else None


@contextlib.contextmanager
def _box_of(containers: Containers, container: Container, state: Path) -> Iterator[Box]:
    """The running container's box, which only its keeper's mount namespace has, at a path for this process."""
    from runtime.enter import NotRunning

    keeper = containers.status(container).keeper
    if not keeper:
        raise NotRunning(container)
    try:
        fd = os.open(f"/proc/{keeper}/root{state}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotRunning(container) from error
    try:
        if containers.status(container).keeper != keeper:  # the pid may be another process's by now
            raise NotRunning(container)
        yield Box(Path(f"/proc/self/fd/{fd}"))
    finally:
        os.close(fd)


class Joined(Value):
    """A container that another command has started, as an attachment sees it."""

    container: Container
    box: Box
    kill: Callable[[str], None]


class Attachment:
    """One connection; made before the container starts, nothing it says is missed."""

    def __init__(self, target: Monitored | Joined, manner: Manner) -> None:
        self._target = target
        self._manner = manner
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(os.fspath(target.box.path / "attach"))
        self._tty = target.container.tty
        self._stdin: int | None = 0 if "stdin" in manner.streams and target.container.stdin_open else None
        self._shown = [stream for stream in STREAMS[1:] if stream in manner.streams]
        self._watch = Watch(manner.keys)
        self._pending: list[int] = []
        self._asked = 0

    def run(self) -> bool:
        """Copy until the container ends (True) or the user detaches (False). Signals are passed on, size changes too."""
        terminal = self._tty and os.isatty(0)
        with self._signals() as wake, raw(0) if terminal and self._stdin == 0 else contextlib.nullcontext():
            if terminal:
                self._resize()
            return self._copy(wake)

    def _copy(self, wake: int) -> bool:
        poll = select.poll()
        for fd in (self._socket.fileno(), wake, *([] if self._stdin is None else [self._stdin])):
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if wake in ready:
                os.read(wake, CHUNK)
                if not self._pass_on():
                    return False
            if self._stdin in ready and not self._feed(poll):
                return False
            if self._socket.fileno() in ready and not self._show():
                return True

    def _show(self) -> bool:
        try:
            packet = self._socket.recv(CHUNK + 1)
        except ConnectionResetError:
            return False
        if packet:
            error = packet[0] == 3 and not self._tty
            if ("stderr" if error else "stdout") in self._shown:
                write_all(2 if error else 1, packet[1:])
        return bool(packet)

    def _feed(self, poll: select.poll) -> bool:
        data = os.read(0, CHUNK)
        if data:
            data, detached = self._watch.take(data) if self._tty else (data, False)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                if data:
                    self._socket.sendall(data)
            return not detached
        poll.unregister(0)
        self._stdin = None
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        return bool(self._shown)  # with its input at an end there is nothing else to stay for

    def _pass_on(self) -> bool:
        """False when whoever asks for the end is to be kept waiting no longer."""
        while self._pending:
            number = self._pending.pop(0)
            self._asked += number in ASKING
            if self._asked == PATIENCE:
                os.write(2, b"lamella: asked again and again to end: the container goes on alone\n")
                return False
            if number == signal.SIGWINCH:
                self._resize()
            else:
                self._target.kill(str(int(number)))
        return True

    def _resize(self) -> None:
        if not self._tty:
            return
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(0)
            fd = os.open(self._target.box.path / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(fd, f"1 {size.lines} {size.columns}\n".encode())
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        read, write = os.pipe()
        os.set_blocking(write, False)
        old_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        previous = {n: signal.signal(n, lambda number, frame: self._pending.append(number)) for n in self._heeded()}
        try:
            yield read
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_fd)
            os.close(read)
            os.close(write)

    def _heeded(self) -> tuple[int, ...]:
        return PASSED_ON if self._manner.signals else (signal.SIGWINCH,)

    def close(self) -> None:
        """Leave the container to itself."""
        self._socket.close()
