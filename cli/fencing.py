"""Limits and unusual walls together, and what of them this host cannot do; loaded where a flag asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.isolation_flags import isolation
from cli.limit_flags import limits
from core.value import replace
from runtime import cgroups
from runtime.capabilities import may_exceed_limits
from runtime.isolating import clamped, has_apparmor, has_selinux, limit_of
from runtime.isolation import Isolation
from runtime.limit_checks import settle
from runtime.limits import Limits
from runtime.probe import installed

_NO_CGROUP = "no cgroup of this host can be written: "


def fences(flags: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields `limits` and `isolation` of a Request, and warnings. Raises InvalidInput, Unsupported."""
    walls, wanted = isolation(flags), limits(flags)
    warnings: list[str] = []
    if walls:
        walls, warnings = _possible(walls)
    if wanted:
        kept, discarded = settle(wanted, able=bool(installed()))
        wanted, warnings = (None if kept == Limits() else kept), warnings + discarded
    return {"isolation": walls, "limits": wanted}, warnings


def _possible(walls: Isolation) -> tuple[Isolation, list[str]]:
    warnings = [
        f"ulimit {asked.name} {asked.soft}:{asked.hard} is above what this process may give: {given.soft}:{given.hard} it is"
        for asked, given in ((limit_of(text), clamped(text)) for text in walls.ulimits)
        if asked != given
    ]
    if walls.apparmor not in ("", "unconfined") and not has_apparmor():
        warnings.append(f"this host has no AppArmor: --security-opt apparmor={walls.apparmor} changes nothing")
    if set(walls.labels) - {"disable"} and not has_selinux():
        warnings.append(f"this host has no SELinux: --security-opt label={walls.labels[-1]} changes nothing")
    if walls.oom_score_adj < oom_score() and not may_exceed_limits():
        warnings.append(f"this process may not lower the OOM score to {walls.oom_score_adj}: --oom-score-adj discarded")
        walls = replace(walls, oom_score_adj=0)
    restricted = [text for text in walls.devices if not text.endswith("rwm")]
    if (walls.device_rules or restricted) and not cgroups.controllers():
        warnings.append(f"{_NO_CGROUP}discarded --device-cgroup-rule, and the access of --device")
        walls = replace(walls, device_rules=())
    return walls, warnings


def oom_score() -> int:
    """This process's own."""
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return int(file.read())
