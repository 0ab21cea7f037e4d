"""Which system calls a container may make: a profile as containers-common ships it, compiled once and remembered.

Letting the runtime compile it costs 12 ms a start; crun takes the finished program (its annotation
`run.oci.seccomp_bpf_data`), runc takes the flattened rules, the embedded backend loads the program itself.
"""

from __future__ import annotations

import contextlib
import json
import os
from _blake2 import blake2b  # as in runtime.state
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, NotFound

ANNOTATION = "run.oci.seccomp_bpf_data"
PROFILES = ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json")
DEFAULT, UNCONFINED = "default", "unconfined"
# machine → the profile's name of the architecture, and the name its rules use
_MACHINES = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}


def profile_path(chosen: str) -> str | None:
    """The profile's file; None for no filter: `unconfined`, or the default where none is installed.

    Raises NotFound for one of the user's that is not there.
    """
    if chosen == UNCONFINED:
        return None
    if chosen == DEFAULT:
        return next((path for path in PROFILES if os.path.exists(path)), None)
    if not os.path.exists(chosen):
        raise NotFound(f"no such seccomp profile: {chosen}", "give a file, or unconfined")
    return chosen


def program(chosen: str, capabilities: Sequence[str], state: Path) -> bytes | None:
    """The compiled filter for a container with `capabilities`, None for no filter. Kept below `state`.

    Without libseccomp on this machine there is no filter. Raises InvalidInput for a profile that makes no sense.
    """
    path = profile_path(chosen)
    if path is None:
        return None
    status = os.stat(path)
    facts = f"{path} {status.st_mtime_ns} {status.st_size} {os.uname().machine} {' '.join(capabilities)}"
    kept = state / f"seccomp-{blake2b(facts.encode(), digest_size=8).hexdigest()}"
    with contextlib.suppress(FileNotFoundError):
        return kept.read_bytes() or None
    from core.files import write_file
    from runtime.seccomp_compile import compile_rules

    compiled = compile_rules(flatten(path, capabilities))
    write_file(kept, compiled or b"", mode=0o600, sync=False)
    return compiled


def annotation(chosen: str, capabilities: Sequence[str], state: Path) -> tuple[tuple[str, str], ...]:
    """The filter as crun takes it."""
    compiled = program(chosen, capabilities, state)
    if compiled is None:
        return ()
    import binascii

    return ((ANNOTATION, binascii.b2a_base64(compiled, newline=False).decode()),)


def flatten(path: str, capabilities: Sequence[str]) -> dict[str, Any]:
    """The runtime spec's `linux.seccomp` (config-linux.md) of a profile, with its conditions decided for here and now."""
    try:
        profile = json.loads(Path(path).read_bytes())
        machine, arch = _MACHINES.get(os.uname().machine, ("", ""))
        others = [e["subArchitectures"] for e in profile.get("archMap", []) if e["architecture"] == machine]
        spec: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
        if "defaultErrnoRet" in profile:
            spec["defaultErrnoRet"] = profile["defaultErrnoRet"]
        if machine:
            spec["architectures"] = [machine, *(others[0] if others else [])]
        rules = profile.get("syscalls", [])
        spec["syscalls"] = [rule for entry in rules for rule in _applied(entry, set(capabilities), arch)]
        return spec
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is no seccomp profile: {error}", "see containers-seccomp.json(5)") from error


def _applied(entry: dict[str, Any], capabilities: set[str], arch: str) -> Iterator[dict[str, Any]]:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    if not set(includes.get("caps") or ()) <= capabilities or set(excludes.get("caps") or ()) & capabilities:
        return
    if (includes.get("arches") and arch not in includes["arches"]) or arch in (excludes.get("arches") or ()):
        return
    rule: dict[str, Any] = {"names": entry.get("names") or [entry["name"]], "action": entry["action"]}
    if "errnoRet" in entry:
        rule["errnoRet"] = entry["errnoRet"]
    if entry.get("args"):
        rule["args"] = entry["args"]
    yield rule


def filters(
    engine: str, chosen: str, capabilities: Sequence[str], state: Path
) -> tuple[tuple[tuple[str, str], ...], dict[str, Any] | None]:
    """The filter as `engine` takes it: annotations, and the rules for `linux.seccomp`."""
    if engine in ("crun", "chroot"):
        return annotation(chosen, capabilities, state), None
    path = profile_path(chosen)
    return (), flatten(path, capabilities) if path else None
