"""A command whose caller sits at a terminal: its streams are pipes that are copied, so that it never holds the terminal.

Who holds a terminal can read what is typed at it, and type into it; a container that was given no `-t` must do neither.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Sequence

from runtime.streams import CHUNK, spawn, wait


def relay(command: Sequence[str], stdin: int, started: Callable[[int], object] = lambda pid: None) -> int:
    """Run `command` to its end on pipes, copied from `stdin` and to our stdout and stderr; its exit code."""
    typed_read, typed_write = os.pipe() if os.isatty(stdin) else (stdin, -1)
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    child = spawn(command, stdin=typed_read, stdout=out_write, stderr=err_write, own_group=False)
    for fd in (out_write, err_write, *([typed_read] if typed_write >= 0 else [])):
        os.close(fd)
    started(child)
    ways = {out_read: 1, err_read: 2} | ({stdin: typed_write} if typed_write >= 0 else {})
    _copy(ways, child)
    for fd, target in ways.items():
        os.close(target if target > 2 else fd)
    return wait(child)


def _copy(ways: dict[int, int], child: int) -> None:
    """Until the child has ended, and what it wrote by then is copied. Who it left behind may still hold the pipes."""
    poll, ended = select.poll(), os.pidfd_open(child)
    for fd in (*ways, ended):
        poll.register(fd, select.POLLIN)
    try:
        while ended not in (ready := [fd for fd, _ in poll.poll()]):
            for fd in ready:
                if not _pass(fd, ways):
                    poll.unregister(fd)
        for fd in [fd for fd, target in ways.items() if target in (1, 2)]:
            while select.select([fd], [], [], 0)[0] and _pass(fd, ways):
                pass
    finally:
        os.close(ended)


def _pass(fd: int, ways: dict[int, int]) -> bool:
    """Copy a piece; False at the end, which is passed on: to the command, too, whose output nobody reads any more."""
    data = b""
    with contextlib.suppress(OSError):  # a terminal that is gone
        data = os.read(fd, CHUNK)
    target = ways[fd]
    try:
        while data:
            written = os.write(target, data)
            if written == len(data):
                return True
            data = data[written:]
    except BrokenPipeError:
        if target in (1, 2):
            del ways[fd]
            os.close(fd)
            return False
    if target not in (1, 2):
        os.close(ways.pop(fd))
    return False
