"""RUN: a process in a container on the stage's root."""

from __future__ import annotations

from typing import Any, Literal

from builder.stages import Ground, Origin, Output, Workspace
from core.errors import LamellaError
from core.value import Value


class CommandFailed(LamellaError):
    """A RUN whose process did not end well; `exit_code` is the process's own."""

    def __init__(self, argv: tuple[str, ...], code: int) -> None:
        self.status = code
        super().__init__(f'process "{" ".join(argv)[:1000]}" did not complete successfully: exit code: {code}')


class RunOp(Value):
    """`env` is what the key knows: ENV and the declared ARGs; `hidden` goes to the process alone (proxies)."""

    argv: tuple[str, ...]
    env: tuple[str, ...]
    hidden: tuple[str, ...]
    cwd: str
    user: str
    network: Literal["host", "none"]
    add_hosts: tuple[str, ...]

    def facts(self) -> list[Any]:
        names = [host.partition(":")[0] for host in self.add_hosts]
        return ["run", self.argv, self.env, self.cwd, self.user, self.network, names]

    def inputs(self, work: Workspace) -> str:
        return ""

    def origins(self) -> tuple[Origin, ...]:
        return ()

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        from runtime.step import Step

        env = (*self.hidden, *self.env)
        step = Step(self.argv, env, self.cwd, self.user, self.network, add_hosts=self.add_hosts)
        with ground.mounted() as root:
            code = work.sandbox(root, step, output)
        if code:
            raise CommandFailed(self.argv, code)
