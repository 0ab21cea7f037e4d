"""Capability names, Docker's default set, and what this machine can give at all."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import InvalidInput

# In the kernel's order: the index is the capability's number.
_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
    "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
ALL = tuple(f"CAP_{name}" for name in _NAMES.split())
_USUAL = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE"
)
DEFAULT = tuple(f"CAP_{name}" for name in _USUAL.split())


def choose(*, add: Iterable[str] = (), drop: Iterable[str] = (), privileged: bool = False) -> tuple[str, ...]:
    """The set a container gets: Docker's default, changed by `--cap-add` and `--cap-drop` (`ALL` allowed in both).

    Raises InvalidInput for a name the kernel does not have.
    """
    if privileged:
        return ALL
    added, dropped = set(map(_name, add)), set(map(_name, drop))
    chosen = set(ALL) if "ALL" in added else set() if "ALL" in dropped else set(DEFAULT)
    chosen |= added - {"ALL"}
    chosen -= dropped if "ALL" in added or "ALL" not in dropped else dropped - added
    return tuple(name for name in ALL if name in chosen)


def _name(text: str) -> str:
    name = text.upper()
    if name == "ALL":
        return name
    name = name if name.startswith("CAP_") else f"CAP_{name}"
    if name not in ALL:
        raise InvalidInput(f"unknown capability: {text!r}", "see capabilities(7) for the names")
    return name


def available(names: Iterable[str]) -> list[str]:
    """Those of `names` that this process could pass on: asking a runtime for more makes it refuse to start."""
    from core.syscalls import has_capability

    return [name for name in names if has_capability(ALL.index(name))]


def may_exceed_limits() -> bool:
    """Whether this process may raise hard limits and lower OOM scores: CAP_SYS_RESOURCE, which counts for nothing in an ordinary
    user's namespace."""
    from core.rootless import outer_uid
    from core.syscalls import has_capability

    return not outer_uid() and has_capability(ALL.index("CAP_SYS_RESOURCE"))
