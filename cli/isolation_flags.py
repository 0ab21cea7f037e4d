"""The flags that change a container's walls, as values; loaded where one of them is given."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cli.limit_flags import wrong
from core.errors import InvalidInput, Unsupported
from core.paths import clean
from runtime.isolation import Isolation

_ULIMITS = frozenset(
    [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)
_IPC_SYSCTLS = frozenset(
    f"kernel.{name}" for name in ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"]
)
_DEVICE_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")


def isolation(flags: Mapping[str, Any]) -> Isolation | None:
    """What the flags ask for, None for nothing. Raises InvalidInput, and Unsupported for what cannot be here."""
    _refuse_impossible(flags)
    made = Isolation(
        **_security(flags["security_opt"]), **_modes(flags), ulimits=_ulimits(flags["ulimit"]),
        sysctls=_sysctls(flags), devices=tuple(map(device, flags["device"])),
        device_rules=tuple(map(_device_rule, flags["device_cgroup_rule"])),
        users=flags["uidmap"] or flags["gidmap"], groups=flags["gidmap"] or flags["uidmap"],
        oom_score_adj=_oom_score(flags["oom_score_adj"] or 0), runtime=flags["runtime"] or "",
    )  # fmt: skip
    if made.uts == "host" and flags["hostname"]:
        raise InvalidInput("conflicting options: hostname and the UTS mode")
    return None if made == Isolation() else made


def _refuse_impossible(flags: Mapping[str, Any]) -> None:
    if flags["gpus"]:
        raise Unsupported(
            'could not select device driver "" with capabilities: [[gpu]]',
            "no driver for GPUs is here yet: give the nodes with --device, and the libraries with -v",
        )
    if any("=" not in option for option in flags["storage_opt"]):
        raise InvalidInput("invalid storage option")
    if flags["storage_opt"]:
        raise Unsupported(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
            "a --tmpfs with a size limits what is written below a directory",
        )
    if flags["isolation"] not in (None, "", "default"):
        raise InvalidInput(f"Invalid isolation: \"{flags['isolation']}\" - linux only supports 'default'")


def _security(options: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"labels": (), "masks": (), "unmasks": ()}
    for option in options:
        key, _, value = option.partition("=" if "=" in option else ":")
        if key == "no-new-privileges" and value in ("", "true", "false"):
            found["no_new_privileges"] = value != "false"
        elif key == "apparmor" and value:
            found["apparmor"] = value
        elif key == "label" and value:
            found["labels"] += (value,)
        elif option == "systempaths=unconfined":
            found["unmasks"] += ("ALL",)
        elif key in ("mask", "unmask") and value:
            found[f"{key}s"] += tuple(value if value == "ALL" else clean(value) for value in value.split(":"))
        elif key != "seccomp" or not value:
            raise InvalidInput(f'invalid --security-opt: "{option}"', "docs/security.md lists them")
    shown = tuple(option for option in options if option.partition("=")[0] != "seccomp")
    return found | {"security_opt": shown}


def _modes(flags: Mapping[str, Any]) -> dict[str, Any]:
    modes = {
        "pid": _mode(flags["pid"], ("host", "private"), "--pid: invalid PID mode", joins=True),
        "ipc": _mode(flags["ipc"], ("host", "private", "shareable", "none"), f"Invalid IPC mode: {flags['ipc']}", joins=True),
        "uts": _mode(flags["uts"], ("host", "private"), "--uts: invalid UTS mode"),
        "userns": _users(flags),
        "cgroupns": _mode(flags["cgroupns"], ("host", "private"), "--cgroupns: invalid CGROUP mode"),
    }  # fmt: skip
    usual = {"pid": "private", "ipc": "private", "uts": "private", "userns": "host"}
    return {name: "" if mode == usual.get(name) else mode for name, mode in modes.items()}


def _users(flags: Mapping[str, Any]) -> str:
    mode = str(flags["userns"] or "")
    if mode and (flags["uidmap"] or flags["gidmap"]):
        raise InvalidInput("conflicting options: --userns and --uidmap or --gidmap", "give one of them")
    if mode.partition(":")[0] in ("keep-id", "nomap"):
        raise _no_keep_id(mode)
    if re.fullmatch(r"auto(:size=[1-9][0-9]{0,8})?", mode):
        return mode
    return _mode(mode, ("host", "auto", "auto:size=N"), "--userns: invalid USER mode", joins=True)


def _no_keep_id(mode: str) -> Unsupported:
    from core.rootless import outer_uid

    if not outer_uid():
        return Unsupported(f"{mode} is only supported in rootless mode", "--userns auto gives it users of its own")
    return Unsupported(
        f"--userns {mode}: without root an image's files cannot be shown to users of other numbers",
        "root inside is you outside: without -u, what is written to a bind is yours",
    )


def _mode(given: str | None, known: Sequence[str], text: str, *, joins: bool = False) -> str:
    if not given or given in known or (joins and given.startswith("container:") and given != "container:"):
        return given or ""
    raise InvalidInput(text, f"there are {', '.join((*known, *(['container:NAME'] if joins else [])))}")


def _ulimits(texts: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals:
            raise wrong("ulimit", text, f"invalid ulimit argument: {text}")
        if name not in _ULIMITS:
            raise wrong("ulimit", text, f"invalid ulimit type: {name}")
        found[name] = f"{name}={_pair(text, values.split(':'))}"
    return tuple(found[name] for name in sorted(found))


def _pair(text: str, values: list[str]) -> str:
    if len(values) > 2:
        raise wrong(
            "ulimit",
            text,
            f"too many limit value arguments - {':'.join(values)}, can only have up to two, `soft[:hard]`",
        )
    for value in values:
        if not re.fullmatch(r"-1|[0-9]{1,18}", value):
            raise wrong("ulimit", text, f'strconv.ParseInt: parsing "{value}": invalid syntax')
    soft, hard = int(values[0]), int(values[-1])
    if hard != -1 and (soft == -1 or soft > hard):
        raise wrong("ulimit", text, f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return f"{soft}:{hard}"


def _sysctls(flags: Mapping[str, Any]) -> tuple[str, ...]:
    for text in flags["sysctl"]:
        name, equals, value = text.partition("=")
        if not (equals and value) or not (name in _IPC_SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
            raise wrong("sysctl", text, f"sysctl '{text}' is not allowed")
        if name.startswith("net.") and flags["network"][0] == "host":
            raise InvalidInput(f'sysctl "{name}" not allowed in host network namespace', "give it a network of its own")
        if not name.startswith("net.") and flags["ipc"] == "host":
            raise InvalidInput(f'sysctl "{name}" is not allowed in the hosts ipc namespace', "leave out --ipc host")
    return tuple({text.partition("=")[0]: text for text in flags["sysctl"]}.values())


def device(text: str) -> str:
    """`HOST[:CONTAINER][:rwm]` with all three."""
    parts = text.split(":")
    source, target, access = parts[0], parts[0], "rwm"
    if len(parts) == 2 and set(parts[1]) <= set("rwm"):
        access = parts[1]
    elif len(parts) in (2, 3):
        target, access = parts[1] or source, parts[2] if len(parts) == 3 else access
    elif len(parts) > 3:
        raise InvalidInput(f"invalid device specification: {text}")
    if not access or set(access) - set("rwm") or len(set(access)) < len(access):
        raise InvalidInput(f"bad mode specified: {access}", "write r, w and m, each at most once")
    for path in (source, target):
        if not os.path.isabs(path):
            raise InvalidInput(f"{path} is not an absolute path")
    return f"{os.path.normpath(source)}:{clean(target)}:{access}"


def _device_rule(text: str) -> str:
    if not _DEVICE_RULE.fullmatch(text):
        raise wrong("device_cgroup_rule", text, f"invalid device cgroup format '{text}'")
    return text


def _oom_score(value: int) -> int:
    if not -1000 <= value <= 1000:
        raise InvalidInput(f"Invalid value {value}, range for oom score adj is [-1000, 1000]")
    return value
