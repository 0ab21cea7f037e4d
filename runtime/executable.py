"""Whether a command is there to be executed, told before a runtime is started for nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from core.paths import clean, resolve_in
from runtime.engine import NOT_EXECUTABLE, NOT_FOUND, StartFailed
from runtime.streams import PATH

MAX_STRING = 128 << 10  # bytes of one argument or variable
MAX_SIZE = 6 << 20  # bytes of all of them, however large the stack may be


def check(root: str, args: Sequence[str], env: Sequence[str], cwd: str, covered: Sequence[str] = ()) -> None:
    """Raises StartFailed, with the exit code a shell would give, for a command that cannot start in `root`.

    A path below one of the mount points `covered` is left for the runtime to judge.
    """
    name = args[0]
    _check_size(args, env)
    denied = False
    for path in _candidates(name, env, cwd):
        if any(path == point or path.startswith(point.rstrip("/") + "/") for point in covered):
            return
        mode = _mode(root, path)
        if mode is not None and stat.S_ISREG(mode) and mode & 0o111:
            return
        denied = denied or mode is not None
    if denied and "/" in name:
        raise StartFailed(
            f'cannot start the container: exec: "{name}": permission denied',
            NOT_EXECUTABLE,
            "it is a directory, or not executable",
        )
    where = "no such file or directory" if "/" in name else "executable file not found in $PATH"
    raise StartFailed(
        f'cannot start the container: exec: "{name}": {where}',
        NOT_FOUND,
        "check the spelling, and that the image has it",
    )


def _check_size(args: Sequence[str], env: Sequence[str]) -> None:
    """execve(2), "Limits on size of arguments and environment": a runtime would find out in the container only."""
    import resource

    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    limit = MAX_SIZE if stack == resource.RLIM_INFINITY else min(max(stack // 4, MAX_STRING), MAX_SIZE)
    sizes = [len(os.fsencode(text)) + 1 for text in (*args, *env)]
    if max(sizes) > MAX_STRING or sum(sizes) + 8 * len(sizes) > limit:
        raise StartFailed(
            f'cannot start the container: exec: "{args[0][:100]}": argument list too long',
            NOT_EXECUTABLE,
            "its arguments and environment are larger than the kernel takes",
        )


def _candidates(name: str, env: Sequence[str], cwd: str) -> list[str]:
    if "/" in name:
        return [clean(name if name.startswith("/") else f"{cwd}/{name}")]
    path = next((pair for pair in reversed(env) if pair.startswith("PATH=")), PATH).partition("=")[2]
    return [clean(f"{place if place.startswith('/') else f'{cwd}/{place}'}/{name}") for place in path.split(":")]


def _mode(root: str, path: str) -> int | None:
    try:
        return os.lstat(resolve_in(root, path)).st_mode
    except OSError:
        return None
