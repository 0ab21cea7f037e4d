"""`exec`: one more process in a running container."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from core import plain_json as json
from core.errors import Conflict, Unsupported
from core.paths import clean
from core.value import Value
from runtime.box import Box, capabilities
from runtime.bundle import inner_path, open_nothing
from runtime.capabilities import ALL
from runtime.container import Container
from runtime.containers import Containers
from runtime.detach_keys import DEFAULT, Watch
from runtime.engine import NOT_EXECUTABLE, NOT_FOUND, Engine, failure
from runtime.enter import NotRunning, inside
from runtime.keeper import ENGINE_FAILED
from runtime.request import merged_env
from runtime.spec import Process
from runtime.streams import spawn, wait
from runtime.user import in_groups, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Command(Value):
    """What to execute. Empty `cwd` and `user` mean the container's own; `keys` leave a terminal to itself."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = ""
    user: str = ""
    tty: bool = False
    stdin_open: bool = False
    detach: bool = False
    privileged: bool = False
    keys: bytes = DEFAULT


def execute(containers: Containers, container: Container, state: Path, command: Command) -> int:
    """Run `command` on the caller's own streams; its exit code, 126 or 127 where it cannot start. Raises NotRunning."""
    status = containers.status(container)
    if not status.running:
        raise NotRunning(container, status.state)
    if status.paused:
        raise Conflict(
            f"Container {container.name} is paused, unpause the container before exec",
            f"lamella unpause {container.name}",
        )
    id, words = os.urandom(32).hex(), " ".join(command.args)
    containers.note(container, f"exec_create: {words}", execID=id)
    containers.note(container, f"exec_start: {words}", execID=id)
    code = inside(containers, container, state, lambda box, engine: _execute(container, command, box, engine))
    if not command.detach:
        containers.note(container, "exec_die", execID=id, exitCode=str(code))
    return code


def _execute(container: Container, command: Command, box: Box, engine: Engine) -> int:
    name = f"exec-{os.getpid()}-{os.urandom(4).hex()}"
    spec, log = box.path / f"{name}.json", box.path / f"{name}.log"
    if engine.name == "youki" and not (command.privileged or container.privileged or container.seccomp == "unconfined"):
        raise Unsupported(
            "youki executes commands in a container without its system call filter",
            "run the container by another runtime, or with --security-opt seccomp=unconfined",
        )
    box.keep_null()
    try:
        process = process_of(container, command, box)
        spec.write_bytes(json.dumps(process).encode())
        flags = ["--tty"] * (command.tty and engine.name != "runsc") + ["--detach"] * command.detach
        words = engine.command(box.runtime_state, log, "exec", "--process", str(spec), *flags, container.id)
        code = _run(words, name, command, box, engine)
        failed = failure(log) if code else None
        if failed is None:
            return code
        if command.detach:
            raise failed
        return failed.exit_code if failed.exit_code in (NOT_FOUND, NOT_EXECUTABLE) else ENGINE_FAILED
    finally:
        for path in (spec, log):
            path.unlink(missing_ok=True)


def _run(words: list[str], name: str, command: Command, box: Box, engine: Engine) -> int:
    if command.tty and not command.detach:
        from runtime.terminal import console_for, run_on_terminal

        console = console_for(engine.name, box.path / f"{name}.sock")
        return run_on_terminal(words, console, stdin=command.stdin_open, watch=Watch(command.keys))
    stdin = 0 if command.stdin_open and not command.detach else open_nothing()
    if command.detach:
        return wait(spawn(words, stdin=stdin, own_group=False, silent=True))  # nobody waits for what it says
    if any(os.isatty(fd) for fd in (1, 2, stdin)):
        from runtime.relay import relay

        return relay(words, stdin)
    return wait(spawn(words, stdin=stdin, own_group=False))


def process_of(container: Container, command: Command, box: Box) -> dict[str, Any]:
    """`command` as the runtime spec words it."""
    user = lookup(box.root(), command.user or container.user)
    inner_path(box.root(), command.cwd or container.cwd)
    if container.extras:
        user = in_groups(box.root(), user, container.extras.groups)
    env: Sequence[str] = merged_env(container.env, command.env)
    held = ALL if command.privileged else capabilities(container)
    spec = Process(command.args, env, clean(command.cwd or container.cwd), user, held, command.tty).to_spec()
    if container.isolation:
        from runtime.isolating import apply_process

        apply_process(spec, container.isolation)
    return spec
