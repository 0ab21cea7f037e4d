"""A container in the foreground without a monitor: its streams are the caller's own, nothing is copied.

Its keeper starts first and prepares what does not depend on the container (namespaces, tmpfs, code to load) while this
process is still looking the image up.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from runtime.keeper import ENGINE_FAILED, PATIENCE, Passing, fork_guarded, passing_signals
from runtime.streams import spawn, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from core.locks import FileLock
    from runtime.box import Box
    from runtime.container import Container
    from runtime.containers import Containers
    from runtime.engine import Engine


class Foreground:
    """A keeper that waits for its container. It dies with this process, whatever happens.

    To be made when the container's directory is locked (`placing.place`): the keeper inherits the lock. Then either
    `run` or `abandon`.
    """

    def __init__(self, root: Path, state: Path, lock: FileLock, *, tty: bool, networks: bool = False) -> None:
        """`lock` is the container's; `networks`: it is to come onto some."""
        self._state = state
        proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC) if networks else -1  # the keeper has another
        orders, self._orders = os.pipe()
        self._guard, told = fork_guarded(
            lambda: _keep(orders, root, state, proc, lock), (self._orders,), own_session=not tty
        )
        self._told = os.fdopen(told, "rb")
        os.close(orders)

    def run(self, containers: Containers, container: Container, lock: FileLock) -> int:
        """Let the keeper start `container`; its exit code when it has ended. Signals are passed on."""
        with passing_signals(patience=PATIENCE) as passing, contextlib.ExitStack() as around:
            if container.net:
                from runtime.networking import prepared

                around.enter_context(prepared(containers.root, self._state, container))
            passing.to(self._guard)
            keeper = self._told.readline()
            if keeper:
                from runtime.status import note_started

                note_started(containers.directory(container), int(keeper))
            ready = container
            if any(mount.kind in ("volume", "image") for mount in container.mounts):
                ready = self._with_volumes(containers, container, int(keeper or 0), lock)
            containers.note(container, "start")  # before the keeper can tell of its end
            with contextlib.suppress(BrokenPipeError), os.fdopen(self._orders, "wb") as orders:
                orders.write(ready.encode())
            lock.release()  # the keeper has inherited it
            if container.net is not None:
                import runtime.leaving  # noqa: F401  # what its end will need
            code = self._code(container)
        containers.conclude(container, code)
        wait(self._guard)
        return code

    def _code(self, container: Container) -> int:
        """What the container ended with."""
        told = self._told.readline() if _leaves_nothing(container) else b""
        return int(told) if told else wait(self._guard)

    def _with_volumes(self, containers: Containers, container: Container, keeper: int, lock: FileLock) -> Container:
        from runtime.volume_sources import Attachment

        try:
            attachment = Attachment(containers, container)
            attachment.move(keeper)
        except BaseException as error:
            self.abandon()
            lock.release()
            containers.conclude(container, getattr(error, "exit_code", ENGINE_FAILED))
            raise
        attachment.close()
        attachment.note()
        return attachment.container

    def abandon(self) -> None:
        """There is no container after all: the keeper ends."""
        os.close(self._orders)
        wait(self._guard)


def _leaves_nothing(container: Container) -> bool:
    """Whether it is over when its processes are, before all of its keeper is: then it need not be waited for."""
    return container.net is None and not container.mounts


def _keep(orders: int, root: Path, state: Path, proc: int, lock: FileLock) -> int:
    from runtime.box import Box
    from runtime.container import Container
    from runtime.directories import Directories
    from runtime.probe import choose
    from runtime.sealed import sealed
    from snapshot.choose import choose as choose_snapshotter

    box = Box(state, f"/proc/self/fd/{proc}")
    with passing_signals() as passing, contextlib.ExitStack() as stack:
        engine = sealed(choose(state))
        box.mount()
        box.load_all(networks=proc >= 0)
        snapshotter = choose_snapshotter(root)
        with os.fdopen(orders, "rb") as pipe:
            order = pipe.read()
        if not order:
            return ENGINE_FAILED
        container = Container.decode(order, str(root))
        if not container.plain:
            from runtime.runtimes import engine_for

            engine = engine_for(container, engine)
        rootfs = stack.enter_context(snapshotter.mounted(container.id, durable=not container.auto_remove))
        spec = box.fill(container, root / "containers" / container.id, rootfs, engine)
        box.keep_null()
        box.open_doors()
        code = _start(container, box, engine, spec, passing)
    if _leaves_nothing(container):
        Directories(root).ended(container, code)  # before anybody can take the lock, and its end for a violent one
        lock.release_all()  # what the kernel still has to take down is in nobody's way
    return code


def _start(container: Container, box: Box, engine: Engine, spec: dict[str, object], passing: Passing) -> int:
    from runtime.bundle import open_nothing

    stdin = 0 if container.stdin_open else open_nothing()
    if not engine.path:
        from runtime.jail import Jail, start

        child = start(Jail(spec, (stdin, 1, 2), own_session=not container.tty))
        passing.to(child)
        return wait(child)
    started: Callable[[int], None] = passing.to
    if engine.name == "runsc":
        from runtime.dialects import by_kill

        started = by_kill(
            passing, lambda number: engine.command(box.runtime_state, None, "kill", container.id, str(number))
        )
    code = _run(container, box, engine, stdin, started)
    return _explained(code, box) if code else 0


def _run(container: Container, box: Box, engine: Engine, stdin: int, started: Callable[[int], object]) -> int:
    places = ("--bundle", str(box.path), "--pid-file", str(box.pid_file))
    command = engine.command(box.runtime_state, box.log, "run", *places, container.id)
    if container.tty:
        from runtime.terminal import console_for, run_on_terminal

        console = console_for(engine.name, box.path / "console")
        return run_on_terminal(command, console, stdin=container.stdin_open, started=started)
    if engine.name == "runsc" or any(
        os.isatty(fd) for fd in (1, 2, stdin)
    ):  # runsc overwrites a file that others write to
        from runtime.relay import relay

        return relay(command, stdin, started)
    child = spawn(command, stdin=stdin, own_group=False)
    started(child)
    return wait(child)


def _explained(code: int, box: Box) -> int:
    """The runtime says on stderr why it could not start something; which code that means is in its log."""
    from runtime.engine import NOT_EXECUTABLE, NOT_FOUND, failure

    failed = failure(box.log)
    if failed is None:
        return code
    return failed.exit_code if failed.exit_code in (NOT_FOUND, NOT_EXECUTABLE) else ENGINE_FAILED
