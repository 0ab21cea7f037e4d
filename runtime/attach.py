"""The caller's terminal or pipes joined to a container under conmon, over conmon's attach socket."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator

from runtime.conmon import Monitored
from runtime.keeper import PASSED_ON
from runtime.terminal import raw, write_all

CHUNK = 8192
DETACH = b"\x10\x11"  # ctrl-p, ctrl-q


class Attachment:
    """One connection, made before the container starts, so that nothing it says is missed."""

    def __init__(self, monitored: Monitored) -> None:
        self._monitored = monitored
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(os.fspath(monitored.box.path / "attach"))
        self._tty = monitored.container.tty
        self._stdin: int | None = 0 if monitored.container.stdin_open else None
        self._pending: list[int] = []

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
                self._pass_on()
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
            write_all(2 if packet[0] == 3 and not self._tty else 1, packet[1:])
        return bool(packet)

    def _feed(self, poll: select.poll) -> bool:
        data = os.read(0, CHUNK)
        if self._tty and DETACH in data:
            return False
        if data:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._socket.sendall(data)
        else:
            poll.unregister(0)
            self._stdin = None
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        return True

    def _pass_on(self) -> None:
        while self._pending:
            number = self._pending.pop(0)
            if number == signal.SIGWINCH:
                self._resize()
            else:
                self._monitored.kill(str(int(number)))

    def _resize(self) -> None:
        if not self._tty:
            return
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(0)
            fd = os.open(self._monitored.box.path / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(fd, f"1 {size.lines} {size.columns}\n".encode())
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        read, write = os.pipe()
        os.set_blocking(write, False)
        old_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        previous = {n: signal.signal(n, lambda number, frame: self._pending.append(number)) for n in PASSED_ON}
        try:
            yield read
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_fd)
            os.close(read)
            os.close(write)

    def close(self) -> None:
        """Leave the container to itself."""
        self._socket.close()
