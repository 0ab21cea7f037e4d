"""Which OCI runtime this machine starts containers with, and how it is called."""

from __future__ import annotations

from pathlib import Path

from core import plain_json as json
from core.errors import Unavailable
from core.value import Value
from runtime.keeper import ENGINE_FAILED

NOT_EXECUTABLE, NOT_FOUND = 126, 127
DIALECTS = ("runsc", "youki")  # what `runtime.dialects` is for


class Engine(Value):
    """An OCI runtime that was seen to start: `path` of its binary, `options` that go before the verb.

    `cgroups`: it keeps a cgroup for each container. `path` is empty for the embedded chroot backend.
    """

    name: str
    path: str
    options: tuple[str, ...] = ()
    cgroups: bool = False

    def command(self, state: Path, log: Path | None, verb: str, *rest: str) -> list[str]:
        """The argument vector of `verb`; containers are known below the directory `state`."""
        logged = ["--log", str(log), "--log-format", "json"] if log else []
        return [self.path, *self.options, "--root", str(state), *logged, verb, *rest]


class StartFailed(Unavailable):
    """The runtime could not start the command; `exit_code` is what a shell would say (125, 126 or 127)."""

    def __init__(self, message: str, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


def failure(log: Path, said: str = "") -> StartFailed | None:
    """What the runtime's log says went wrong, as an error; None when it says nothing."""
    try:
        lines = log.read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    messages = [text for text in map(_message, lines) if text]
    return classify(messages[-1] if messages else said) if messages or said else None


def _message(line: bytes) -> str:
    try:
        data = json.loads(line)
    except ValueError:
        return line.decode(errors="replace").strip()
    said = str(data.get("msg") or data.get("message") or "")  # youki's word is the second
    return said if str(data.get("level") or "error").lower() in ("error", "fatal") else ""


_NOT_FOUND = r"executable file.*not found|no such file or directory"
_DENIED = r"permission denied|is a directory|operation not permitted|exec format error"


def classify(message: str) -> StartFailed:
    """A runtime's own words → the exit code the user's shell expects."""
    import re

    if re.search("exec|chdir", message, re.IGNORECASE):
        if re.search(_NOT_FOUND, message, re.IGNORECASE):
            return StartFailed(message, NOT_FOUND, "check the command's spelling, and that the image has it")
        if re.search(_DENIED, message, re.IGNORECASE):
            return StartFailed(message, NOT_EXECUTABLE, "check that the file is executable, and for this machine")
    return StartFailed(message, ENGINE_FAILED)
