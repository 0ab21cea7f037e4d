"""One health check: a process in a running container, which is killed when it takes too long."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from pathlib import Path

from core.units import go_duration
from runtime.box import Box
from runtime.bundle import open_nothing
from runtime.container import Container
from runtime.directories import Directories
from runtime.engine import Engine, failure
from runtime.enter import NotRunning, fork_inside
from runtime.executing import Command, process_of
from runtime.health import MAX_OUTPUT, NO_ANSWER, SECOND, Health, Result, said
from runtime.streams import spawn, wait

CHUNK = 1 << 14


def probe(directories: Directories, container: Container, state: Path, health: Health) -> Result | None:
    """Check `container` once, as its own user and in its own directory; None where it ended meanwhile."""
    start = time.time_ns()
    answers, answer = os.pipe()
    try:
        child = fork_inside(
            directories, container, state, lambda box, engine: _ask(box, engine, container, health, answer)
        )
    except NotRunning:
        return None
    finally:
        os.close(answer)
    with os.fdopen(answers, "rb") as pipe:
        data = pipe.read()
    wait(child)
    if not data:
        return None
    code, output = json.loads(data)
    return Result(start, time.time_ns(), code, output)


def _ask(box: Box, engine: Engine, container: Container, health: Health, answer: int) -> int:
    """In a process that dies with the supervisor: what it forks is in the keeper's namespaces, and ends with the check."""
    pid = os.fork()
    if pid == 0:
        try:
            os.write(answer, json.dumps(_checked(box, engine, container, health)).encode())
        except BaseException as error:
            os.write(answer, json.dumps((NO_ANSWER, str(error))).encode())
        finally:
            os._exit(0)
    os.close(answer)
    return wait(pid)


def _checked(box: Box, engine: Engine, container: Container, health: Health) -> tuple[int, str]:
    name = f"health-{os.urandom(6).hex()}"
    spec, log, pid_file = (box.path / f"{name}.{kind}" for kind in ("json", "log", "pid"))
    spec.write_bytes(json.dumps(process_of(container, Command(health.command), box)).encode())
    places = ("--process", str(spec), "--pid-file", str(pid_file))
    read, write = os.pipe()
    child = spawn(
        engine.command(box.runtime_state, log, "exec", *places, container.id),
        stdin=open_nothing(),
        stdout=write,
        stderr=write,
    )
    os.close(write)
    try:
        output, ended = _heard(read, child, time.monotonic() + health.longest)
        if not ended:
            _end(child, pid_file)
            text = f"Health check exceeded timeout ({go_duration(int(health.longest * SECOND))})"
            return NO_ANSWER, said(b"%s: %s" % (text.encode(), output) if output else text.encode())
        code = wait(child)
        failed = failure(log) if code else None
        return (NO_ANSWER, said(str(failed).encode())) if failed else (code, said(output))
    finally:
        for path in (spec, log, pid_file):
            path.unlink(missing_ok=True)


def _heard(pipe: int, child: int, deadline: float) -> tuple[bytes, bool]:
    """What comes out of `pipe` until `child` has ended, no more of it than is kept, and whether it has ended in time."""
    output = b""
    ended = os.pidfd_open(child)
    poll = select.poll()
    for fd in (pipe, ended):
        poll.register(fd, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        ready = [fd for fd, _ in poll.poll(left * 1000)]
        if pipe in ready:
            data = os.read(pipe, CHUNK)
            output += data[: MAX_OUTPUT + 1 - len(output)]
            if not data:
                poll.unregister(pipe)
        elif ended in ready:  # and nothing more is to come: what it left behind may keep the pipe open
            return output, True
    return output, False


def _end(child: int, pid_file: Path) -> None:
    """Kill the check with all it has started (a runtime puts it into a group of its own), and the runtime that waits for it."""
    with contextlib.suppress(OSError, ValueError):
        os.killpg(os.getpgid(int(pid_file.read_text())), signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
