"""Copies a directory with a process for each processor: of a small file, most of the time is Python's own.

Processes, because Python code of one process runs on one processor at a time; forked, because starting Python takes as
long as copying a thousand files. A child only ever makes files. What it did not say that it has done, this process does
again itself: so an error is raised here, by the very call that fails.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import struct
from collections.abc import Iterator, Sequence
from typing import Protocol
from zlib import crc32

from builder.ops.survey import Skip, Surveyed, open_below, survey

FEW = 400  # entries that one process has copied before another would have begun
_PART = 512
_MOST = 8
_TICKETS = 1024  # four bytes each: what the smallest pipe holds
_TICKET = struct.Struct("=I")
_DONE = struct.Struct("=I?")


class Hand(Protocol):
    """What copies one thing at a time (`transfer.Copier`). When `shared`, it is one of several, and leaves files of more
    than one name to the process that began: that alone knows where their first names are. `left` tells that it did."""

    shared: bool
    left: bool

    def entry(self, entry: os.DirEntry[str], source: int, target: int) -> None:
        """Copy what is no directory from one open directory into another. Harmless to repeat."""

    def dress(self, source: int, target: int, status: os.stat_result, *, directory: bool = False) -> None:
        """Give a directory whose contents are complete all else that it is to have."""


class _Task:
    """Some of the entries of one directory. With `links`, only those of several names."""

    __slots__ = ("directory", "links", "part")

    def __init__(self, directory: Surveyed, part: int) -> None:
        self.directory = directory
        self.part = part
        self.links = False


class Crew:
    """Copies everything in the directory `source`, but for what `skip` says, into the directory `target`."""

    def __init__(self, hand: Hand, source: int, target: int, skip: Skip | None) -> None:
        self._hand = hand
        self._source = source
        self._target = target
        self._skip = skip

    def run(self) -> None:
        """Raises InvalidInput where a file and a directory collide, and what reading and writing raise."""
        directories = survey(self._source, self._target, self._skip)
        hands = _hands(sum(directory.names for directory in directories))
        tasks: list[_Task] = []
        for directory in directories:
            directory.parts = min(2 * hands, 1 + directory.names // _PART) if hands > 1 else 1
            tasks += [_Task(directory, part) for part in range(directory.parts)]
        for task in self._shared(tasks, hands - 1) if hands > 1 else tasks:
            self._do(task)
        for directory in directories:
            if directory.parts > 1:
                with self._opened(directory) as (source, target):
                    self._dress(directory, source, target)

    def _shared(self, tasks: Sequence[_Task], helpers: int) -> list[_Task]:
        """Do `tasks` together with so many children. Returns what is still to be done."""
        size = -(-len(tasks) // _TICKETS)
        batches = [range(start, min(start + size, len(tasks))) for start in range(0, len(tasks), size)]
        tickets, put = os.pipe()
        os.write(put, b"".join(map(_TICKET.pack, range(len(batches)))))
        os.close(put)
        reports, report = os.pipe()
        children: list[int] = []
        try:
            with contextlib.suppress(OSError):  # with fewer, then
                for _ in range(helpers):
                    children.append(self._fork(tasks, batches, tickets, report))
            os.close(report)
            done = dict.fromkeys(self._work(tasks, batches, tickets), False)
            with os.fdopen(reports, "rb", closefd=False) as file:
                done |= dict(_DONE.iter_unpack(file.read()))
        except BaseException:
            for child in children:
                os.kill(child, signal.SIGKILL)
            raise
        finally:
            for child in children:
                os.waitpid(child, 0)
            os.close(tickets)
            os.close(reports)
        for number, left in done.items():
            tasks[number].links = left
        return [task for number, task in enumerate(tasks) if done.get(number, True)]

    def _work(self, tasks: Sequence[_Task], batches: Sequence[range], tickets: int) -> Iterator[int]:
        """Take batches until there are none; the numbers of the tasks, each when it is done."""
        while ticket := os.read(tickets, _TICKET.size):
            for number in batches[_TICKET.unpack(ticket)[0]]:
                self._do(tasks[number])
                yield number

    def _fork(self, tasks: Sequence[_Task], batches: Sequence[range], tickets: int, report: int) -> int:
        from core.syscalls import die_with_parent

        child = os.fork()
        if child:
            return child
        code = 1
        try:
            die_with_parent(signal.SIGKILL)
            gc.disable()  # it would write to all the memory that is shared with the parent
            self._hand.shared = True
            for number in self._work(tasks, batches, tickets):
                os.write(report, _DONE.pack(number, self._hand.left))
                self._hand.left = False
            code = 0
        except BaseException:  # the parent finds out by doing the same again
            code = 1
        finally:
            os._exit(code)

    def _do(self, task: _Task) -> None:
        directory = task.directory
        copy, skip, parts = self._hand.entry, self._skip, directory.parts
        with self._opened(directory) as (source, target):
            with os.scandir(source) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False) or (skip and skip(directory.path + entry.name, False)):
                        continue
                    if parts > 1 and crc32(os.fsencode(entry.name)) % parts != task.part:
                        continue
                    if not task.links or entry.stat(follow_symlinks=False).st_nlink > 1:
                        copy(entry, source, target)
            if parts == 1:
                self._dress(directory, source, target)

    def _dress(self, directory: Surveyed, source: int, target: int) -> None:
        if directory.path:
            self._hand.dress(source, target, directory.status, directory=True)

    @contextlib.contextmanager
    def _opened(self, directory: Surveyed) -> Iterator[tuple[int, int]]:
        source = open_below(self._source, directory.path)
        try:
            target = open_below(self._target, directory.path)
            try:
                yield source, target
            finally:
                os.close(target)
        finally:
            os.close(source)


def _hands(names: int) -> int:
    """How many processes are worth having for so many entries."""
    return min(len(os.sched_getaffinity(0)), _MOST) if names >= FEW else 1
