"""The bundle of a running container: on a tmpfs that only its keeper's mount namespace has, gone when that goes."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from core import plain_json as json
from core.errors import InvalidInput
from core.paths import clean
from runtime.bundle import make_cwd, points
from runtime.capabilities import choose
from runtime.container import Container
from runtime.engine import DIALECTS, Engine
from runtime.hosts import hosts, resolv_conf
from runtime.mounts import Mount, make_devices
from runtime.spec import Bundle, Process
from runtime.stubs import Stubs
from runtime.user import User, in_groups, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.joining import Joined


_NULL = os.makedev(1, 3)


class Box:
    """The same path in every keeper's namespace: whoever enters one finds its container there."""

    def __init__(self, state: Path, proc: str = "/proc") -> None:
        """`proc` is where the host's own /proc is to be seen."""
        self._proc = proc
        self.path = state / "box"
        self.runtime_state = self.path / "state"
        self.log = self.path / "log"
        self.pid_file = self.path / "pid"
        self.sandbox = self.path / "netns"
        self.joined: Joined | None = None
        self.shares_pids = False
        self.borrowed: dict[str, str] = {}  # what `runtime.borrowed` holds here of other containers, by kind

    def mount(self) -> None:
        """Mount the tmpfs, in a mount namespace that is private."""
        from core import syscalls

        self.path.mkdir(0o700, exist_ok=True)
        syscalls.mount("tmpfs", self.path, "tmpfs", syscalls.MS_NOSUID, "mode=0700")

    def load_all(self, *, networks: bool = False) -> None:
        """Load the code that `fill` will need, while there is nothing better to do."""
        if networks:
            pass
        import binascii  # noqa: F401
        import resource  # noqa: F401

        import store.events  # noqa: F401

    def held(self) -> tuple[int, ...]:
        """Descriptors that the keeper has to inherit, and to keep open."""
        return self.joined.held if self.joined else ()

    def open_doors(self) -> None:
        """Start what hands on the container's published ports, where no firewall can. Below the keeper, which must be there."""
        if self.joined and self.joined.doors:
            from network.doors import open_doors

            sandbox = os.open(self.sandbox, os.O_RDONLY | os.O_CLOEXEC)
            open_doors(self.joined.doors, sandbox)
            os.close(sandbox)

    def root(self) -> str:
        """The container's root as a path, for who has entered the keeper's namespaces."""
        return f"/proc/{int(self.pid_file.read_text())}/root"

    def fill(self, container: Container, directory: Path, rootfs: Path, engine: Engine) -> dict[str, object]:
        """Write everything the runtime needs to start `container` on `rootfs`; returns config.json.

        `directory` is the container's own. Raises StartFailed for a command that is not there, NotFound for a user.
        """
        from core import syscalls
        from runtime.executable import check

        root = os.path.realpath(rootfs)
        if container.net is not None:
            from runtime.joining import join

            self.joined = join(container, self.sandbox, directory, self._proc)
        make_devices(f"{self.path}/dev", privileged=container.privileged)
        syscalls.mount(
            f"{self.path}/dev/null", "/dev/null", flags=syscalls.MS_BIND
        )  # what is opened from here is given away
        user = lookup(root, container.user)
        if container.extras:
            user = in_groups(root, user, container.extras.groups)
        make_cwd(root, container.cwd)
        mounts = [*self._generated(container), *self._placed(container, directory)]
        if container.isolation:
            from runtime.isolating import device_mounts

            mounts += device_mounts(container.isolation, f"{self.path}/dev")
        _check_devices(mounts)
        Stubs(root).make(*points(mounts))
        check(root, container.command, container.env, container.cwd, [mount.target for mount in mounts])
        spec = self._bundle(container, root, user, mounts, engine).to_spec()
        if not container.plain:
            from runtime.isolating import apply

            apply(spec, container, engine, self.borrowed)
        if container.extras:
            from runtime.extras import apply as add

            add(spec, container.extras)
        if engine.name in DIALECTS:
            from runtime.dialects import adapt

            adapt(spec, engine.name)
        (self.path / "config.json").write_bytes(json.dumps(spec, separators=(",", ":")).encode())
        return spec

    def keep_null(self) -> None:
        """Let this process, which has the container's mounts, have no stream to the machine's null device, but to another
        one: runtimes make streams the container's user's, whose owner may change its mode."""
        for fd in (0, 1, 2):
            with contextlib.suppress(OSError):
                status = os.fstat(fd)
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL:
                    own = os.open(f"{self.path}/dev/null", os.O_RDWR | os.O_CLOEXEC)
                    os.dup2(own, fd)
                    os.close(own)

    def _placed(self, container: Container, directory: Path) -> Sequence[Mount]:
        for mount in container.mounts:
            if "slave" in mount.options or "rslave" in mount.options:
                from runtime.propagation import check_followed

                check_followed(mount)
        if all(mount.kind in ("bind", "tmpfs") and "bind" not in mount.options for mount in container.mounts):
            return container.mounts
        from runtime.volume_places import placed

        return placed(container, self.path, directory.parent.parent)

    def _generated(self, container: Container) -> list[Mount]:
        joined = self.joined
        files = {
            "hosts": joined.hosts if joined else hosts(container.hostname, container.network, container.add_hosts),
            "hostname": f"{container.hostname}\n".encode(),
            "resolv.conf": joined.resolv_conf if joined else resolv_conf(container.network),
        }
        taken = {mount.target for mount in container.mounts}
        for name, content in files.items():
            (self.path / name).write_bytes(content)
        return [Mount(str(self.path / name), f"/etc/{name}") for name in files if f"/etc/{name}" not in taken]

    def _bundle(self, container: Container, root: str, user: User, mounts: list[Mount], engine: Engine) -> Bundle:
        args = container.command
        if container.init and not (container.isolation and container.isolation.pid):  # where it is another's number 1
            from runtime.init import PATH, init_mount

            mounts = [*mounts, init_mount()]
            args = (PATH, "--", *args)
        env = (*(self.joined.env if self.joined else ()), *container.env)
        process = Process(args, env, clean(container.cwd), user, capabilities(container), container.tty)
        return Bundle(
            process, root, container.hostname, mounts, container.network, container.read_only, container.privileged,
            container.shm_size, cgroup=self._cgroup(container) if engine.cgroups else "",
            devices=f"{self.path}/dev", filters=self._filters(container, engine),
            sandbox=self.joined.sandbox if self.joined else "",
        )  # fmt: skip

    def _cgroup(self, container: Container) -> str:
        from runtime.cgroups import path_of

        return path_of(container, self.path.parent)

    def _filters(self, container: Container, engine: Engine) -> Any:
        if container.privileged:
            return (), None
        from runtime.seccomp import filters

        return filters(engine.name, container.seccomp, capabilities(container), self.path.parent)


def _check_devices(mounts: list[Mount]) -> None:
    """A /dev of the user's own must have a real /dev/null: some runtimes hide files by mounting that over them, and follow
    links (CVE-2025-31133). Raises InvalidInput."""
    for mount in mounts:
        if mount.target == "/dev" and mount.kind == "bind":
            null = f"{mount.source}/null"
            if not os.path.lexists(null) or os.lstat(null).st_rdev != _NULL:
                raise InvalidInput(f"{mount.source} cannot be /dev: it has no null device", "mount it somewhere else")


def capabilities(container: Container) -> tuple[str, ...]:
    """The set `container` was created with."""
    return choose(add=container.cap_add, drop=container.cap_drop, privileged=container.privileged)
