"""What a server does beside answering: write down what was pulled, end old uploads, give space back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import LamellaError
from core.locks import FileLock
from registry.server.collector import Collected, Collector
from registry.server.policy import Policy
from registry.server.registry import Registry

log = logging.getLogger("lamella.registry")

HOURLY = 3600.0
DAILY = 24 * HOURLY
REST = 2.0  # of the time that a collector's transaction took: two thirds are the writers'


class Turn:
    """Whether something that is done every so many seconds is due; the first time is `first` seconds after the start."""

    def __init__(self, seconds: float, first: float) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + first

    def due(self) -> bool:
        """True once a period."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True


class Turns:
    """What has a period of its own."""

    def __init__(self, policy: Policy) -> None:
        self.uploads = Turn(min(HOURLY, policy.uploads_expire), 0)
        self.retention = Turn(HOURLY, 0)
        self.adoption = Turn(DAILY, HOURLY)


async def keep_house(registry: Registry, leader: Path) -> None:
    """Until cancelled. Of several processes on one store, one at a time is the collector: whoever holds the lock `leader`."""
    lock, held = FileLock(leader), False
    turns = Turns(registry.policy)
    try:
        while True:
            await asyncio.sleep(registry.policy.interval)
            await _try(registry, lambda: _note_pulls(registry))
            held = held or lock.acquire(wait=False)
            if held:
                await _try(registry, lambda: _tidy(registry, turns))
    finally:
        lock.release()
        with contextlib.suppress(OSError, sqlite3.Error, LamellaError):
            _note_pulls(registry)


async def _try(registry: Registry, work: Callable[[], object]) -> None:
    try:
        await registry.do(work)
    except (OSError, sqlite3.Error, LamellaError) as error:
        log.error("housekeeping failed and will be tried again: %s", error)


def _note_pulls(registry: Registry) -> None:
    if pulls := registry.pulls.take():
        registry.metadata.note_pulls(pulls, time.time_ns())


def _tidy(registry: Registry, turns: Turns) -> None:
    collector = Collector(registry.metadata, registry.blobs, registry.policy, lambda: registry.closing, rest=REST)
    done = Collected()
    if turns.uploads.due():
        registry.blobs.expire(registry.policy.uploads_expire)
    if turns.retention.due():
        done += collector.retain()
    if turns.adoption.due():
        collector.adopt()
    done += collector.collect()
    if done != Collected():
        log.info(
            "collected %d tags, %d entries of repositories, %d blobs (%d bytes)",
            done.tags, done.entries, done.blobs, done.bytes,
        )  # fmt: skip
