"""kill -9 of commands, at random moments of the time that they take."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable

from tests.suites.driven import Driven

ROUNDS = 5  # for each kill that is wanted: some commands are through before they are met


def kill_commands(
    driven: Driven,
    kills: int,
    prepare: Callable[[int], None],
    words: Callable[[int], tuple[object, ...]],
    after: Callable[[int], None],
    **options: object,
) -> int:
    """Prepare, start, kill, check, until so many were killed at work; how many that were. `options` are for `Driven.start`."""
    generator = random.Random()
    prepare(0)
    begin = time.perf_counter()
    driven.run(*words(0))
    span = time.perf_counter() - begin
    done = 0
    for number in range(1, kills * ROUNDS):
        prepare(number)
        with driven.start(*words(number), **options) as process:
            done += _killed(process, span, generator)
        assert process.returncode in (0, -9), f"round {number} ended with {process.returncode}"
        after(number)
        if done >= kills:
            break
    return done


def _killed(process: subprocess.Popen[str], span: float, generator: random.Random) -> bool:
    """Whether the command was still at work when it was killed; by turns with its group and alone."""
    time.sleep(generator.uniform(0.02, 1.0) * span)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL) if generator.random() < 0.5 else process.kill()
    process.communicate()
    return process.returncode == -9
