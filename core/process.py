"""Child processes: started without a shell, heard line by line or not at all, never outliving their purpose."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from core.errors import NotFound, Unavailable

TAIL_BYTES = 8192


class ProgramFailed(Unavailable):
    """A program ended with an exit code that is not 0; `said` is the end of its stderr, and may be empty."""

    def __init__(self, program: str, code: int, said: str) -> None:
        super().__init__(f"{program} ended with {code}: {said or 'it said nothing'}")
        self.code = code
        self.said = said


def find_program(*names: str) -> str | None:
    """The path of the first of `names` that is installed (sbin directories included), or None."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    return None


def run(
    command: Sequence[str],
    *,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    umask: int = -1,
) -> bytes:
    """Run `command` and return its standard output; for short helpers whose output fits memory.

    Raises NotFound where the program is missing, ProgramFailed where it fails, Unavailable where it takes longer than
    `timeout` seconds. `umask` is the program's, where it is not to be ours.
    """
    try:
        done = subprocess.run(
            list(command), input=input, stdin=subprocess.DEVNULL if input is None else None, capture_output=True, env=env,
            timeout=timeout, check=False, umask=umask,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NotFound(f"{command[0]} is not installed", f"install the package that brings {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} did not finish within {timeout} s") from error
    if done.returncode:
        said = done.stderr[-TAIL_BYTES:].decode(errors="replace").strip()
        raise ProgramFailed(os.path.basename(command[0]), done.returncode, said)
    return done.stdout
