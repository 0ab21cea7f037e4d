"""`RUN --mount`: what each mount means for a step's cache key, and everything of it made ready for the process.

Reference: Dockerfile, "RUN --mount". Nothing that is mounted gets into the layer: the points are made and removed by
`runtime.stubs`, and what stands on them lies elsewhere.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from builder.dockerfile.mounts import Mount
from builder.stages import Origin, Output, Workspace
from core.errors import InvalidInput, NotFound
from core.value import Value

if TYPE_CHECKING:
    from runtime.mounts import Mount as Mounted
    from runtime.step import Given

MAX_SECRET = 500 << 10  # bytes; BuildKit's own limit
DEFAULT_AGENT = "default"


class RunMount(Value):
    """One --mount, planned: `target` is absolute, or empty where nothing is mounted (a secret that is only a variable).
    `origin` is what from= names; None is the build context, or nothing for a cache."""

    mount: Mount
    target: str
    origin: Origin | None = None

    @property
    def id(self) -> str:
        """The name that a secret, an agent or a cache directory goes by."""
        match self.mount.type:
            case "secret":
                return self.mount.source or self.mount.id or posixpath.basename(self.target)
            case "ssh":
                return self.mount.id or self.mount.source or DEFAULT_AGENT
            case _:
                return self.mount.id or self.target

    def facts(self) -> list[Any]:
        """What the key of the step knows: no value of a secret, nothing of what a cache is called or has in it."""
        one = self.mount
        match one.type:
            case "tmpfs":
                return ["tmpfs", self.target, one.size]
            case "bind" | "cache":
                return [one.type, self.target, one.read_only]
            case _:
                return [one.type, self.id, self.target, one.env, one.mode, one.uid, one.gid]

    def inputs(self, work: Workspace) -> str:
        """The digest of the files that the step can read because of it, as far as the Dockerfile decides on them."""
        from builder.ops.mounts_bind import content

        if self.mount.type == "bind" or self.origin is not None:
            return content(work, self.origin, self.mount.source)
        return ""


class Prepared:
    """What the mounts of one step give to its process."""

    def __init__(self) -> None:
        self.mounts: list[Mounted] = []
        self.files: list[Given] = []
        self.env: list[str] = []


def plan_mount(mount: Mount, target: str, origin: Origin | None) -> RunMount:
    """A mount with its place: `target` is what it names, seen from the working directory. Raises InvalidInput for the root."""
    if mount.type == "secret" and not mount.target:
        name = posixpath.basename(mount.source or mount.id)
        return RunMount(mount, "" if mount.env is not None else f"/run/secrets/{name}")
    if mount.type == "ssh" and not mount.target:
        return RunMount(mount, "")
    if target == "/":
        raise InvalidInput("--mount cannot have / as its target", "mount to a directory below it: target=/src")
    return RunMount(mount, target, origin)


@contextlib.contextmanager
def prepared(mounts: Sequence[RunMount], work: Workspace, output: Output) -> Iterator[Prepared]:
    """All of them, until the block ends; what was written to anything but a cache is gone then.

    Raises NotFound for a secret, an agent or a source that is required and not there.
    """
    found = Prepared()
    with contextlib.ExitStack() as stack:
        if any(one.mount.type == "cache" for one in mounts):
            from builder.ops.mounts_cache import cached

            found.mounts += stack.enter_context(cached([m for m in mounts if m.mount.type == "cache"], work, output))
        for one in mounts:
            match one.mount.type:
                case "bind":
                    from builder.ops.mounts_bind import bound

                    nested = any(other.target.startswith(f"{one.target}/") for other in mounts)
                    found.mounts.append(stack.enter_context(bound(one, work, nested)))
                case "tmpfs":
                    found.mounts.append(_tmpfs(one))
                case "secret":
                    _give_secret(one, work, found)
        _offer_agents([one for one in mounts if one.mount.type == "ssh"], work, found, stack)
        yield found


def _tmpfs(one: RunMount) -> Mounted:
    from runtime.mounts import Mount as Mounted

    size = (f"size={one.mount.size}",) if one.mount.size else ()
    return Mounted("", one.target, "tmpfs", one.mount.read_only, ("exec", *size))


def _give_secret(one: RunMount, work: Workspace, found: Prepared) -> None:
    from runtime.step import Given

    value = work.supplies.secrets.get(one.id)
    mount = one.mount
    if value is None:
        if mount.required:
            raise NotFound(f"the secret {one.id} is required and was not given", f"pass --secret id={one.id},src=FILE")
        return
    if one.target:
        mode = 0o400 if mount.mode is None else mount.mode
        found.files.append(Given(one.target, value, mode, mount.uid or 0, mount.gid or 0))
    if mount.env is not None:
        found.env.append(f"{mount.env or one.id}={_text(one.id, value)}")


def _text(id: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidInput(
            f"the secret {id} is no text, so no variable can hold it", "mount it as a file, without env="
        )
    return text


def _offer_agents(mounts: Sequence[RunMount], work: Workspace, found: Prepared, stack: contextlib.ExitStack) -> None:
    """Sockets for ssh; the first that is there is SSH_AUTH_SOCK."""
    for number, one in enumerate(mounts):
        agent = work.supplies.agents.get(one.id)
        if agent is None:
            if one.mount.required:
                option = f"--ssh {one.id}" + ("" if one.id == DEFAULT_AGENT else "=SOCKET")
                raise NotFound(f"the ssh agent {one.id} is required and was not given", f"pass {option}")
            continue
        from builder.ops.mounts_ssh import offered
        from runtime.mounts import Mount as Mounted

        mode = 0o600 if one.mount.mode is None else one.mount.mode
        target = one.target or f"/run/buildkit/ssh_agent.{number}"
        place = stack.enter_context(work.supplies.scratch())
        socket = stack.enter_context(offered(agent, place, mode, one.mount.uid or 0, one.mount.gid or 0))
        found.mounts.append(Mounted(str(socket), target))
        if not any(pair.startswith("SSH_AUTH_SOCK=") for pair in found.env):
            found.env.append(f"SSH_AUTH_SOCK={target}")
