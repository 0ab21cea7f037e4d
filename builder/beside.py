"""Threads of one build: independent stages beside each other, at most so many steps at a time, ended together."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

from runtime.streams import Stop, Stopped

T = TypeVar("T")
_PAUSE_SECONDS = 0.05


class Beside:
    """`jobs` is how many steps run at a time. The first failure of any thread ends all; `close` waits for their ends."""

    def __init__(self, jobs: int) -> None:
        self.alone = jobs < 2
        self.stop = Stop()
        self._turns = threading.BoundedSemaphore(jobs)
        self._guard = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None

    def start(self, work: Callable[[], object]) -> None:
        """Do `work` in a thread of its own."""

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.fail(error)

        thread = threading.Thread(target=run, name="stage", daemon=True)
        with self._guard:
            self._threads.append(thread)
        thread.start()

    def fail(self, error: BaseException) -> BaseException:
        """End everything because of `error`; returns the first that was told so, which is the one to raise."""
        with self._guard:
            if self._failure is None:
                self._failure = error
                self.stop.set()
            return self._failure

    def check(self) -> None:
        """Raises Stopped where another thread has failed."""
        if self._failure is not None:
            raise Stopped

    def pause(self) -> None:
        """Let a moment pass. Raises Stopped."""
        self.check()
        time.sleep(_PAUSE_SECONDS)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until fewer than `jobs` others are in their block. Raises Stopped."""
        with self._turns:
            self.check()
            yield

    def close(self) -> None:
        """Wait for all threads. Harmless to repeat."""
        while self._threads:
            self._threads.pop().join()


class Once:
    """Results that several threads may want and one finds, while the others wait. A failure is not kept."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}
        self._locks: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, find: Callable[[], T]) -> T:
        """What `find` gave for `key` the first time. Raises what `find` raises."""
        if key not in self._found:
            with self._locks.setdefault(key, threading.Lock()):
                if key not in self._found:
                    self._found[key] = find()
        found: T = self._found[key]
        return found

    def __contains__(self, key: Hashable) -> bool:
        return key in self._found
