"""A machine that systemd runs, as far as timers go, for one test: systemd-run and systemctl that do what they are told.

Only who is started through `Clockwork.see` finds them, in a mount namespace of its own, as does what that leaves behind.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from core import syscalls

UNITS, BIN = Path("/run/systemd"), Path("/usr/local/bin")
PROGRAM = """#!{python} -ISs
import json, os, subprocess, sys, time
name, words, units = os.path.basename(sys.argv[0]), sys.argv[1:], "{units}/transient/"
with open("{calls}", "a") as file:
    file.write(json.dumps([name, *words]) + chr(10))
if os.path.exists("{broken}"):
    sys.exit("Failed to connect to bus: Connection refused")
if name == "systemctl":
    units = [units + unit for unit in words[words.index("stop") + 1:]]
    missing = [unit for unit in units if not os.path.exists(unit)]
    for unit in set(units) - set(missing):
        os.unlink(unit)
    sys.exit(5 if missing else 0)
flags = dict(word.removeprefix("--").partition("=")[::2] for word in words[:words.index("--")])
command = [word.replace("$$", "$") for word in words[words.index("--") + 1:]]
first, later = (int(flags[key].removesuffix("us")) / 1e6 for key in ("on-active", "on-unit-inactive"))
unit = units + flags["unit"] + ".timer"
try:
    mine = os.fstat(os.open(unit, os.O_CREAT | os.O_EXCL)).st_ino
except FileExistsError:
    sys.exit("Unit " + flags["unit"] + ".timer was already loaded or has a fragment file.")
if os.fork():
    os._exit(0)
os.setsid()
os.chdir("/")
os.closerange(3, 100)

def slept(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.02, seconds))
        if not os.path.exists(unit) or os.stat(unit).st_ino != mine:
            return False
    return True

while slept(first):
    subprocess.run(command, stdin=subprocess.DEVNULL, env={{"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}})
    first = later
"""


class Clockwork:
    """Lives in the directory `home`. Its timers end with their files, which `close` removes."""

    def __init__(self, home: Path) -> None:
        self._units, self._bin, self._calls, self.broken = (home / n for n in ("units", "bin", "calls", "broken"))
        for directory in (self._units / "system", self._units / "transient", self._bin):
            directory.mkdir(parents=True)
        (self._units / "private").touch()
        values = {"units": UNITS, "calls": self._calls, "broken": self.broken, "python": sys.executable}
        for name in ("systemd-run", "systemctl"):
            (self._bin / name).write_text(PROGRAM.format(**values))
            (self._bin / name).chmod(0o755)

    def see(self) -> None:
        """From now on this process, with all that it starts, is on that machine."""
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
        UNITS.mkdir(exist_ok=True)
        syscalls.mount(str(self._units), str(UNITS), flags=syscalls.MS_BIND)
        syscalls.mount("overlay", str(BIN), "overlay", 0, f"lowerdir={self._bin}:{BIN}")

    def timers(self) -> list[Path]:
        """The files of those that are there."""
        return sorted((self._units / "transient").iterdir())

    def calls(self) -> list[list[str]]:
        """What the two programs were told, each with its name first."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Harmless to repeat."""
        for file in self.timers():
            os.unlink(file)
