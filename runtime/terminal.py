"""A container's terminal joined to the caller's: the runtime hands over the pty's master, both directions are copied."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.detach_keys import Watch

CHUNK = 1 << 15
PATIENCE = 20  # milliseconds between two looks at whether the runtime still lives


class Console:
    """The socket over which a runtime sends the master (runc's `--console-socket` protocol)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(os.fspath(path))
        self._listener.listen(1)

    def begin(self, command: list[str], *, own_session: bool) -> int:
        """Start the runtime's `command` (the console's flag goes before its last word); its pid."""
        from runtime.streams import spawn

        words = [*command[:-1], "--console-socket", os.fspath(self.path), command[-1]]
        return spawn(words, own_group=False, own_session=own_session)

    def receive(self, runtime: int) -> int | None:
        """The master, or None where the process `runtime` ended without sending one; who has sent it may have ended, too."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while not poll.poll(PATIENCE):
            if _has_ended(runtime) and not poll.poll(0):
                return None
        connection, _ = self._listener.accept()
        with connection:
            _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
        return descriptors[0] if descriptors else None

    def close(self) -> None:
        """Remove the socket."""
        self._listener.close()
        self.path.unlink(missing_ok=True)


class OwnPty:
    """A pty of ours, for a runtime that sends no master unless it detaches. `copied`: it has another one in the container
    (runc), and copies between the two; else ours is the container's (runsc)."""

    def __init__(self, *, copied: bool) -> None:
        import tty

        self._master, self._slave = os.openpty()
        if copied:  # what is typed before the runtime makes it raw itself is not to be echoed twice
            tty.setraw(self._slave)
        resize(self._master)

    def begin(self, command: list[str], *, own_session: bool) -> int:
        """Start the runtime's `command` with the pty as its controlling terminal, for which it needs a session; its pid."""
        from runtime.streams import spawn

        return spawn(command, terminal=os.ttyname(self._slave), own_group=False, own_session=True)

    def receive(self, runtime: int) -> int | None:
        """The master."""
        return os.dup(self._master)

    def close(self) -> None:
        """What `receive` gave stays open."""
        os.close(self._slave)
        os.close(self._master)


def console_for(runtime: str, path: Path) -> Console | OwnPty:
    """How the runtime of this name gives us the terminal of what it starts; `path` is free for a socket."""
    return OwnPty(copied=runtime == "runc") if runtime in ("runc", "runsc") else Console(path)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def join(master: int, *, stdin: bool, watch: Watch | None = None) -> bool:
    """Copy between our stdin and stdout and `master` until the container's side is closed (False) or `watch` sees the
    detach keys (True), and `master` is still open. Our terminal is raw meanwhile, and its size is passed on.
    """
    terminal = os.isatty(0)
    with _window_changes(master) as wake, raw(0) if stdin and terminal else contextlib.nullcontext():
        resize(master)
        return _copy(master, wake, stdin=stdin, watch=watch if terminal else None)


def _copy(master: int, wake: int, *, stdin: bool, watch: Watch | None) -> bool:
    poll = select.poll()
    for fd in (master, wake, *([0] if stdin else [])):
        poll.register(fd, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        if wake in ready:
            os.read(wake, CHUNK)
        if master in ready:
            data = _read(master)
            if not data:
                return False
            write_all(1, data)
        if 0 in ready:
            data = os.read(0, CHUNK)
            if not data:
                poll.unregister(0)
                write_all(master, b"\x04")
                continue
            data, detached = watch.take(data) if watch else (data, False)
            write_all(master, data)
            if detached:
                return True


def _read(master: int) -> bytes:
    """Nothing where nobody has the other side open any more."""
    try:
        return os.read(master, CHUNK)
    except OSError:  # EIO
        return b""


def _leave(master: int) -> None:
    """A child takes the terminal: whoever is at its other side goes on, and what it says is heard by nobody."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # our session's end must not be the child's before it is in its own
    if os.fork() == 0:
        nothing = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(nothing, fd)
        os.setsid()
        while _read(master):
            pass
        os._exit(0)
    os.close(master)


def resize(master: int) -> None:
    """Give the terminal behind `master` the size of ours, if we have one."""
    import fcntl
    import struct
    import termios

    with contextlib.suppress(OSError):
        size = os.get_terminal_size(0)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", size.lines, size.columns, 0, 0))


@contextlib.contextmanager
def _window_changes(master: int) -> Iterator[int]:
    """A descriptor that becomes readable when a signal came, so that `poll` returns; sizes are passed on at once."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    old_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    previous = signal.signal(signal.SIGWINCH, lambda number, frame: resize(master))
    try:
        yield read
    finally:
        signal.signal(signal.SIGWINCH, previous)
        signal.set_wakeup_fd(old_fd)
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def raw(fd: int) -> Iterator[None]:
    """The terminal `fd` in raw mode for the block: every key goes to the container."""
    import termios
    import tty

    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, however much the other side takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def run_on_terminal(
    command: list[str],
    console: Console | OwnPty,
    *,
    stdin: bool,
    started: Callable[[int], object] = int,
    watch: Watch | None = None,
) -> int:
    """Start a runtime's `command` on our terminal; its exit code, or 0 where `watch` saw the detach keys and it goes on
    without us.

    `started` is told the pid.
    """
    from runtime.streams import wait

    try:
        child = console.begin(command, own_session=watch is not None)  # it may be left
        started(child)
        master = console.receive(child)
    finally:
        console.close()
    if master is not None:
        if join(master, stdin=stdin, watch=watch):
            _leave(master)
            return 0
        os.close(master)
    return wait(child)
