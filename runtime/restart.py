"""Restart policies: which ends of a container are followed by another start, and how soon. Docker's rules."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from core.errors import InvalidInput
from core.value import Value

FIRST_DELAY, LONGEST_DELAY = 100, 60_000  # milliseconds
LONG_RUN = 10.0  # seconds: who has run so long begins with the first delay again
POLICIES = ("no", "always", "on-failure", "unless-stopped")
NAME = "restarts"


class Restart(Value):
    """`name` is on-failure, always or unless-stopped; `maximum` is how often on-failure starts it again, 0 for no limit."""

    name: str
    maximum: int = 0

    def wants(self, code: int, count: int) -> bool:
        """Whether a container that ended with `code`, after `count` restarts, is to be started again."""
        if self.name != "on-failure":
            return True
        return code != 0 and (not self.maximum or count < self.maximum)

    def to_json(self) -> dict[str, object]:
        """As `inspect` shows it."""
        return {"Name": self.name, "MaximumRetryCount": self.maximum}


def parse(text: str) -> Restart | None:
    """`no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`; None for no policy. Raises InvalidInput."""
    name, colon, maximum = text.partition(":")
    if colon and not name:
        raise InvalidInput("invalid restart policy format: no policy provided before colon", _HINT)
    if maximum and not maximum.removeprefix("-").isdecimal():
        raise InvalidInput("invalid restart policy format: maximum retry count must be an integer", _HINT)
    if name and name not in POLICIES:
        known = "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        raise InvalidInput(f"invalid restart policy: unknown policy '{name}'; {known}")
    count = int(maximum or 0)
    if count and name != "on-failure":
        raise InvalidInput(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            + (" and cannot be negative" if count < 0 else ""),
            _HINT,
        )
    if count < 0:
        raise InvalidInput("invalid restart policy: maximum retry count cannot be negative", _HINT)
    return Restart(name, count) if name not in ("", "no") else None


_HINT = "such as --restart always, or --restart on-failure:3"


class Restarts(Value):
    """How often a container was started again since somebody started it by hand, and the pause before the last time (ms).

    `over`: somebody wants it to end.
    """

    count: int = 0
    delay: int = 0
    over: bool = False

    def next(self, ran: float) -> Restarts:
        """After one more run, of `ran` seconds."""
        delay = min(self.delay * 2, LONGEST_DELAY) if self.delay and ran < LONG_RUN else FIRST_DELAY
        return Restarts(self.count + 1, delay)

    def write(self, directory: Path) -> None:
        """Keep it in the container's `directory`."""
        from core.files import write_file

        write_file(directory / NAME, b"%d %d %d\n" % (self.count, self.delay, self.over), mode=0o600, sync=False)


def read_restarts(directory: Path) -> Restarts:
    """What `write` kept; nothing at all for a container that was never started again."""
    with contextlib.suppress(OSError, ValueError):
        count, delay, over = map(int, (directory / NAME).read_text().split())
        return Restarts(count, delay, bool(over))
    return Restarts()


def following(directory: Path, policy: Restart, code: int, ran: float) -> int:
    """After a run of `ran` seconds that ended with `code`: the number of the restart that is to follow, which is kept; 0 for none."""
    known = read_restarts(directory)
    if known.over or not policy.wants(code, known.count):
        return 0
    coming = known.next(ran)
    coming.write(directory)
    return coming.count


def forget_restarts(directory: Path) -> None:
    """Somebody starts it by hand."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(directory / NAME)
