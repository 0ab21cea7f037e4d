"""A container in the foreground without a monitor: its streams are the caller's own, nothing is copied."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from core.locks import FileLock
from runtime.box import Box
from runtime.bundle import open_nothing
from runtime.container import Container
from runtime.containers import Containers
from runtime.engine import ENGINE_FAILED, NOT_EXECUTABLE, NOT_FOUND, Engine, failure
from runtime.keeper import fork_keeper, passing_signals
from runtime.status import note_started
from runtime.streams import spawn, wait

EngineChoice = Callable[[Path], Engine]


def run_foreground(
    containers: Containers, container: Container, lock: FileLock, engine_of: EngineChoice, state: Path
) -> int:
    """Run a container that was just created and is locked by `lock`; returns its exit code when it has ended.

    It dies with this process. Signals are passed on. The last thing this process does with children: see `fork_keeper`.
    """
    keeper = 0
    directory = containers.directory(container)
    with passing_signals(lambda: keeper):
        keeper = fork_keeper(
            lambda: _keep(containers, container, engine_of, state),
            own_session=not container.tty,
            own_mounts=True,
        )
        note_started(directory, keeper)
        lock.release()  # the keeper has inherited it
        code = wait(keeper)
    containers.conclude(container, code)
    return code


def _keep(containers: Containers, container: Container, engine_of: EngineChoice, state: Path) -> int:
    box = Box(state)
    children = [0]
    with passing_signals(lambda: children[-1]), contextlib.ExitStack() as stack:
        engine = engine_of(state)
        box.mount()
        rootfs = stack.enter_context(containers.snapshotter.mounted(container.id, durable=not container.auto_remove))
        spec = box.fill(container, containers.directory(container), rootfs, engine)
        stdin = 0 if container.stdin_open else open_nothing()
        if not engine.path:
            from runtime.jail import Jail, start

            children.append(start(Jail(spec, (stdin, 1, 2), own_session=not container.tty)))
            return wait(children[-1])
        code = _run(container, box, engine, stdin, children.append)
        return _explained(code, box) if code else 0


def _run(container: Container, box: Box, engine: Engine, stdin: int, started: Callable[[int], object]) -> int:
    places = ("--bundle", str(box.path), "--pid-file", str(box.pid_file))
    command = engine.command(box.runtime_state, box.log, "run", *places, container.id)
    if container.tty:
        from runtime.terminal import Console, run_on_terminal

        console = Console(box.path / "console")
        return run_on_terminal(command, console, stdin=container.stdin_open, started=started)
    child = spawn(command, stdin=stdin, own_group=False)
    started(child)
    return wait(child)


def _explained(code: int, box: Box) -> int:
    """The runtime says on stderr why it could not start something; which code that means is in its log."""
    failed = failure(box.log)
    if failed is None:
        return code
    return failed.exit_code if failed.exit_code in (NOT_FOUND, NOT_EXECUTABLE) else ENGINE_FAILED
