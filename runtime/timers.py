"""systemd's timers as the clock of health checks: between two checks nothing of lamella runs.

A container's timer is a transient unit of the manager that starts this user's units. It starts `lamella container check`,
which does what a supervisor's child does, and ends the timer of a container that does not run: so none outlives its container for
long, whoever was killed. While a container may still be starting it has a timer of another name, with the pause for that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from core.rootless import outer_uid
from core.value import Value
from runtime.health import HEALTHY, Health, read_record
from runtime.probe import PLACES
from runtime.status import Status
from runtime.streams import MINIMAL_ENV, spawn, wait

BOOTED = Path("/run/systemd/system")  # sd_booted(3)
ACCURACY = "100ms"
KINDS = ("health", "health-start")


class Timer(Value):
    """A container's timer: `kind` is one of KINDS, `pause` in seconds, before the first check and after each."""

    id: str
    kind: str
    pause: float

    @property
    def unit(self) -> str:
        """Its name, and its service's, without what follows the dot."""
        return f"lamella-{self.kind}-{self.id}"

    def words(self, command: Sequence[str]) -> list[str]:
        """What systemd-run is told; nothing in `command` is expanded, and an ill container is no failure of the unit."""
        pause = f"{max(1, round(self.pause * 10**6))}us"
        return [
            "--quiet", "--collect", f"--unit={self.unit}", f"--description=health check of container {self.id[:12]}",
            f"--on-active={pause}", f"--on-unit-inactive={pause}", f"--timer-property=AccuracySec={ACCURACY}",
            "--property=LogLevelMax=notice", "--", *(word.replace("$", "$$") for word in command),
        ]  # fmt: skip


def due(id: str, health: Health, status: str, started: int, now: int) -> Timer:
    """The timer that a container is to have which is `status`; instants are nanoseconds."""
    pause = health.pause(status, started, now)
    return Timer(id, KINDS[pause != health.pause(HEALTHY, started, now)], pause)


class Systemd(Value):
    """Who is asked: paths of systemd-run and systemctl, and the user whose manager it is, 0 for the machine's."""

    run: str
    control: str
    user: int = 0

    def begin(self, timer: Timer, command: Sequence[str]) -> bool:
        """Let `command` be run by `timer` from now on; whether that is so. Harmless to repeat."""
        return self._told(self.run, *timer.words(command)) or self.has(timer)

    def end(self, id: str, *kinds: str) -> None:
        """No timer of these kinds any more for a container. What one has started goes on. Harmless to repeat."""
        self._told(self.control, "--quiet", "stop", *(f"{Timer(id, kind, 0).unit}.timer" for kind in kinds))

    def has(self, timer: Timer) -> bool:
        """Whether it is there: a transient unit has a file for as long as it is loaded."""
        return os.path.exists(f"{_home(self.user)}/transient/{timer.unit}.timer")

    def _told(self, program: str, *words: str) -> bool:
        scope = ["--user"] if self.user else []
        env = MINIMAL_ENV | ({"XDG_RUNTIME_DIR": f"/run/user/{self.user}"} if self.user else {})
        return wait(spawn([program, *scope, *words], silent=True, env=env)) == 0


def _home(user: int) -> str:
    return f"/run/user/{user}/systemd" if user else "/run/systemd"


def find() -> Systemd | None:
    """The manager that starts this user's units; None where systemd does not run this machine, or nothing for the user."""
    user = os.geteuid() or outer_uid()
    if not BOOTED.is_dir() or not os.path.exists(f"{_home(user)}/private"):
        return None
    run, control = map(_program, ("systemd-run", "systemctl"))
    return Systemd(run, control, user) if run and control else None


def _program(name: str) -> str:
    return next((f"{place}/{name}" for place in PLACES if os.access(f"{place}/{name}", os.X_OK)), "")


def keep_time(directory: Path, health: Health, status: Status, command: Sequence[str]) -> bool:
    """The container in `directory` is to be checked by the timer that is due now, and no other; False where systemd does not.

    `status` is of the run that is to be checked, or of one that is about to begin. Harmless to repeat.
    """
    systemd, now = find(), time.time_ns()
    if systemd is None:
        return False
    record = read_record(directory, status)
    timer = due(directory.name, health, record.status, record.started or now, now)
    others = [Timer(timer.id, kind, 0) for kind in KINDS if kind != timer.kind]
    if not systemd.has(timer) and not systemd.begin(timer, command):
        return False
    if any(map(systemd.has, others)):
        systemd.end(timer.id, *(other.kind for other in others))
    return True


def stop_time(directory: Path) -> None:
    """The container in `directory` is to be checked no more. Harmless to repeat."""
    systemd = find()
    left = [kind for kind in KINDS if systemd and systemd.has(Timer(directory.name, kind, 0))]
    if systemd and left:
        systemd.end(directory.name, *left)
