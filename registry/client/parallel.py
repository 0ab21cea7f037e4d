"""Several jobs at a time, given up together: the first failure cancels the rest, and so does Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from registry.client.retry import Cancelled

T = TypeVar("T")
GRACE_SECONDS = 5.0  # what jobs get to clean up after themselves; what stays is garbage for the next collection


def run_all(jobs: Sequence[Callable[[], T]], width: int, cancel: threading.Event) -> list[T]:
    """The results of `jobs` in their order, at most `width` running at once.

    The first error is raised after `cancel` was set, which the jobs are expected to look at, and they have ended.
    """
    if len(jobs) <= 1:
        return [job() for job in jobs]
    batch = _Batch(jobs, cancel)
    ended, started = threading.Semaphore(0), 0

    def work() -> None:
        try:
            batch.work()
        finally:
            ended.release()

    try:
        for _ in range(min(width, len(jobs))):
            threading.Thread(target=work, name="transfer", daemon=True).start()
            started += 1
        while started:  # not Thread.join: interrupted, it takes a running thread for ended (CPython 3.11)
            ended.acquire()
            started -= 1
    except BaseException:
        cancel.set()
        end = time.monotonic() + GRACE_SECONDS
        while started > 0 and ended.acquire(timeout=max(0.0, end - time.monotonic())):
            started -= 1
        raise
    return batch.outcome()


class _Batch(Generic[T]):
    def __init__(self, jobs: Sequence[Callable[[], T]], cancel: threading.Event) -> None:
        self._jobs = list(enumerate(jobs))[::-1]
        self._cancel = cancel
        self._results: dict[int, T] = {}
        self._errors: list[BaseException] = []

    def work(self) -> None:
        """One thread's life: list.pop is atomic, so threads share the jobs without a lock."""
        while not self._cancel.is_set():
            try:
                number, job = self._jobs.pop()
            except IndexError:
                return
            try:
                self._results[number] = job()
            except BaseException as error:
                self._errors.append(error)
                self._cancel.set()

    def outcome(self) -> list[T]:
        real = [error for error in self._errors if not isinstance(error, Cancelled)]
        for error in real or self._errors:
            raise error
        if self._cancel.is_set():
            raise Cancelled("cancelled")
        return [self._results[number] for number in sorted(self._results)]
