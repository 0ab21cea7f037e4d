"""Writers that come at the same time share one transaction, and so one wait for the disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from core.database import Database

T = TypeVar("T")


class _Job(Generic[T]):
    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None


class GroupCommit:
    """Whoever gets the turn writes for all who wait; the others find their work done and durable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[_Job[Any]] = []
        self._connection: sqlite3.Connection | None = None  # of whoever has the turn

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in a transaction; returns when that is durable. What `work` raises undoes its part alone."""
        job = _Job(work)
        with self._guard:
            self._waiting.append(job)
        with self._turn:
            if not job.done:
                self._lead()
        if job.error is not None:
            raise job.error
        return cast(T, job.result)

    def _lead(self) -> None:
        with self._guard:
            jobs, self._waiting = self._waiting, []
        try:
            self._connection = self._connection or self._database.connect()
            with self._database.write(by=self._connection) as connection:
                if len(jobs) == 1:
                    jobs[0].result = jobs[0].work(connection)
                else:
                    for job in jobs:
                        _attempt(job, connection)
        except BaseException as error:
            for job in jobs:  # the commit failed: nothing of the whole group is there
                job.error = job.error or error
        finally:
            for job in jobs:
                job.done = True

    def close(self) -> None:
        """When nobody writes any more. Harmless to repeat."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
            self._connection = None


def _attempt(job: _Job[Any], connection: sqlite3.Connection) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise  # SQLite gave up the whole transaction (a full disk)
        connection.execute("ROLLBACK TO job")
        job.error = error
    connection.execute("RELEASE job")
