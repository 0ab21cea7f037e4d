"""RUN: a process in a container on the stage's root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from builder.ops.mounts import RunMount, prepared
from builder.stages import Ground, Origin, Output, Workspace
from core.errors import LamellaError
from core.value import Value

if TYPE_CHECKING:
    from runtime.cdi import Device
    from runtime.step import Limit

SHM_SIZE = 64 << 20
HOSTNAME = "buildkitsandbox"


class CommandFailed(LamellaError):
    """A RUN whose process did not end well; `exit_code` is the process's own."""

    def __init__(self, argv: tuple[str, ...], code: int) -> None:
        self.status = code
        super().__init__(f'process "{" ".join(argv)[:1000]}" did not complete successfully: exit code: {code}')


class Script(Value):
    """A heredoc that names its interpreter: an executable file at `path`, for this step alone."""

    path: str
    text: str


class RunOp(Value):
    """`env` is what the key knows: ENV and the declared ARGs; `hidden` goes to the process alone (proxies). `missing` are
    devices that it could use if they were there, `devices` those that are."""

    argv: tuple[str, ...]
    env: tuple[str, ...]
    hidden: tuple[str, ...]
    cwd: str
    user: str
    network: Literal["host", "none"]
    add_hosts: tuple[str, ...]
    mounts: tuple[RunMount, ...] = ()
    script: Script | None = None
    privileged: bool = False
    shm_size: int = SHM_SIZE
    limits: tuple[Limit, ...] = ()
    missing: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    hostname: str = HOSTNAME

    def facts(self) -> list[Any]:
        names = [host.partition(":")[0] for host in self.add_hosts]
        more = {
            "mounts": [one.facts() for one in self.mounts],
            "script": [self.script.path, self.script.text] if self.script else [],
            "privileged": self.privileged,
            "shm": self.shm_size if self.shm_size != SHM_SIZE else 0,
            "limits": [[limit.name, limit.soft, limit.hard] for limit in self.limits],
            "devices": [device.facts() for device in self.devices],
            "hostname": self.hostname if self.hostname != HOSTNAME else "",
        }
        facts = ["run", self.argv, self.env, self.cwd, self.user, self.network, names]
        asked = {name: value for name, value in more.items() if value}
        return [*facts, asked] if asked else facts

    def inputs(self, work: Workspace) -> str:
        return " ".join(filter(None, (one.inputs(work) for one in self.mounts)))

    def origins(self) -> tuple[Origin, ...]:
        return tuple(one.origin for one in self.mounts if one.origin is not None)

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        from runtime.step import Given, Step

        for name in self.missing:
            output("stderr", f"there is no device {name} here, so it runs without\n".encode())
        script = [Given(self.script.path, self.script.text.encode(), 0o755)] if self.script else []
        with prepared(self.mounts, work, output) as more, ground.mounted() as root:
            env = (*self.hidden, *self.env, *more.env, *(pair for device in self.devices for pair in device.env))
            mounts = (*more.mounts, *(mount for device in self.devices for mount in device.mounts))
            step = Step(
                self.argv, env, self.cwd, self.user, self.network, self.hostname, add_hosts=self.add_hosts,
                mounts=mounts, privileged=self.privileged, files=(*script, *more.files),
                shm_size=self.shm_size, limits=self.limits,
                nodes=tuple(node for device in self.devices for node in device.nodes),
            )  # fmt: skip
            code = work.sandbox(root, step, output)
        if code:
            raise CommandFailed(self.argv, code)
