"""Health checks: what is asked of a container, how often, and what the answers make of it. Docker's rules."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.clock import format_instant
from core.value import Value
from image.config import HealthCheck
from runtime.status import Status

SECOND = 10**9
INTERVAL, TIMEOUT, START_INTERVAL, RETRIES = 30 * SECOND, 30 * SECOND, 5 * SECOND, 3
MAX_RESULTS, MAX_OUTPUT = 5, 4096  # bytes
STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
NO_ANSWER = -1
NAME = "health.json"


class Health(HealthCheck):
    """`test` is Docker's: NONE, or CMD and words, or CMD-SHELL and a line for `shell`. Times are nanoseconds; 0 is the default."""

    shell: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """What is executed in the container; empty where nothing is asked of it."""
        kind, *words = self.test or ("NONE",)
        if kind == "CMD-SHELL":
            return (*(self.shell or ("/bin/sh", "-c")), *words)
        return tuple(words) if kind == "CMD" else ()

    @property
    def longest(self) -> float:
        """Seconds that one check may take."""
        return (self.timeout if self.timeout > 0 else TIMEOUT) / SECOND

    def pause(self, status: str, started: int, now: int) -> float:
        """Seconds until the next check of a container that is `status`; instants are nanoseconds."""
        own = self.interval if self.interval > 0 else INTERVAL
        if status == STARTING and now - started < self.start_period:
            own = self.start_interval if self.start_interval > 0 else START_INTERVAL
        return own / SECOND


def merge(wanted: HealthCheck | None, image: HealthCheck | None, shell: tuple[str, ...] | None) -> Health | None:
    """What the user asks for, and the image for all that the user leaves open; None where neither says anything."""
    if wanted is None and image is None:
        return None
    first, second = wanted or HealthCheck(()), image or HealthCheck(())
    values = {name: getattr(first, name) or getattr(second, name) for name in HealthCheck._fields}
    return Health(**values, shell=shell or ())


class Result(Value):
    """One check; instants are nanoseconds since the epoch. `code` is 0 for a healthy container, NO_ANSWER without an answer."""

    start: int
    end: int
    code: int
    output: str

    def to_json(self) -> dict[str, Any]:
        start, end = format_instant(self.start), format_instant(self.end)
        return {"Start": start, "End": end, "ExitCode": self.code, "Output": self.output}


class Record(Value):
    """What is known of the health of the run that began at `started`; `log` has the last results, oldest first."""

    started: int
    status: str = STARTING
    streak: int = 0
    log: tuple[Mapping[str, Any], ...] = ()

    def after(self, result: Result, health: Health) -> Record:
        """With one more result. Failures do not count while it may still be starting."""
        log = (*self.log, result.to_json())[-MAX_RESULTS:]
        if result.code == 0:
            return Record(self.started, HEALTHY, 0, log)
        if self.status == STARTING and result.start - self.started < health.start_period:
            return Record(self.started, self.status, self.streak, log)
        streak = self.streak + 1
        failed = streak >= (health.retries if health.retries > 0 else RETRIES)
        return Record(self.started, UNHEALTHY if failed else self.status, streak, log)

    def to_json(self) -> dict[str, Any]:
        """As `inspect` shows it."""
        return {"Status": self.status, "FailingStreak": self.streak, "Log": list(self.log)}

    def write(self, directory: Path) -> None:
        """Keep it in the container's `directory`."""
        from core.files import write_file

        data = json.dumps(self.to_json() | {"started": self.started}).encode()
        write_file(directory / NAME, data, mode=0o600, sync=False)


def read_record(directory: Path, status: Status) -> Record:
    """What is known of the health of a container, which its supervisor keeps; of a new run nothing is known yet."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads((directory / NAME).read_bytes())
        log = tuple(data["Log"])
        if data["started"] == status.started:
            return Record(status.started, str(data["Status"]), int(data["FailingStreak"]), log)
        return Record(status.started, log=log)
    return Record(status.started)


def said(output: bytes) -> str:
    """What a check has written, as far as it is kept."""
    if len(output) > MAX_OUTPUT:
        output = output[: MAX_OUTPUT - 3] + b"..."
    return output.decode(errors="replace")
