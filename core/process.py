"""Child processes: started without a shell, heard line by line or not at all, never outliving their purpose."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from core.errors import NotFound, Unavailable

TAIL_BYTES = 8192


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
) -> bytes:
    """Run `command` and return its standard output; for short helpers whose output fits memory.

    Raises NotFound where the program is missing, Unavailable (with the end of its stderr) where it fails or takes longer
    than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            list(command), input=input, stdin=subprocess.DEVNULL if input is None else None, capture_output=True, env=env,
            timeout=timeout, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NotFound(f"{command[0]} is not installed", f"install the package that brings {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} did not finish within {timeout} s") from error
    if done.returncode:
        said = done.stderr[-TAIL_BYTES:].decode(errors="replace").strip()
        raise Unavailable(f"{os.path.basename(command[0])} ended with {done.returncode}: {said or 'it said nothing'}")
    return done.stdout
