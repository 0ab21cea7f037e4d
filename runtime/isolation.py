"""Where a container's walls are not Docker's usual ones: values, as the user asked for them."""

from __future__ import annotations

from core.value import Value


class Isolation(Value):
    """Empty means: as Docker has it.

    `pid`, `ipc`, `uts` and `cgroupns` are modes (`host`, `private`, `container:ID` and so on). `devices` are
    `host:container:rwm`, `device_rules` as the cgroup has them (`c 1:3 rwm`). `ulimits` are `name=soft:hard`, `sysctls`
    `name=value`. `masks` are further paths to hide, `unmasks` paths (or `ALL`) that are not hidden or read-only.
    `security_opt` is what was said, for who inspects it. `runtime` is an OCI runtime's name or path.
    `users` and `groups`, each `inside:outside:size`, are who its users are on the machine; none: the very same.
    """

    no_new_privileges: bool = False
    apparmor: str = ""
    labels: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    unmasks: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    userns: str = ""
    cgroupns: str = ""
    ulimits: tuple[str, ...] = ()
    sysctls: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    device_rules: tuple[str, ...] = ()
    oom_score_adj: int = 0
    runtime: str = ""
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
