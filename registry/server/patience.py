"""How long a client may send nothing: one timer a body, where `asyncio.timeout` sets and cancels one for each piece."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class Patience:
    """A context manager for one task: each `wait` in it may take so many seconds, what lies between them as long as it
    likes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._over = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """What it gives. Raises TimeoutError."""
        self._since = self._loop.time()
        try:
            return await awaitable
        except asyncio.CancelledError as error:
            if self._over and self._task is not None and not self._task.uncancel():
                raise TimeoutError from error
            raise
        finally:
            self._since = None

    def _look(self) -> None:
        now = self._loop.time()
        end = (now if self._since is None else self._since) + self._seconds
        if now < end:
            self._timer = self._loop.call_at(end, self._look)
        elif self._task is not None:
            self._over = True
            self._task.cancel()
