"""Which system calls a container may make: Docker's default profile or one of the user's, compiled once and remembered.

Letting the runtime compile it costs 12 ms a start; crun takes the finished program (its annotation
`run.oci.seccomp_bpf_data`), runc takes the flattened rules, the embedded backend loads the program itself.
"""

from __future__ import annotations

import contextlib
import os
from _blake2 import blake2b  # as in runtime.state
from collections.abc import Iterator, Sequence
from pathlib import Path

from core import plain_json as json
from core.errors import InvalidInput, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANNOTATION = "run.oci.seccomp_bpf_data"
OWN_DEFAULT = "/etc/containers/seccomp.json"  # where the machine's owner puts another default for all containers
DEFAULT, BUILTIN, UNCONFINED = "default", "builtin", "unconfined"
EDITION = "29.1"  # of `default_profile`: what is compiled of it is remembered by this name
# machine → the profile's name of the architecture, and the name its rules use
_MACHINES = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64"), "s390x": ("SCMP_ARCH_S390X", "s390x"),
    "riscv64": ("SCMP_ARCH_RISCV64", "riscv64"), "ppc64le": ("SCMP_ARCH_PPC64LE", "ppc64le"),
}  # fmt: skip


def profile_path(chosen: str) -> str | None:
    """The file that `chosen` means; empty for the profile that comes with lamella, None for no filter.

    Raises NotFound for one of the user's that is not there.
    """
    if chosen == UNCONFINED:
        return None
    if chosen == DEFAULT:
        return OWN_DEFAULT if os.path.exists(OWN_DEFAULT) else ""
    if chosen == BUILTIN:
        return ""
    if not os.path.exists(chosen):
        raise NotFound(
            f"opening seccomp profile ({chosen}) failed: no such seccomp profile", "give a file, or unconfined"
        )
    return chosen


def program(chosen: str, capabilities: Sequence[str], state: Path) -> bytes | None:
    """The compiled filter for a container with `capabilities`, None for no filter. Kept below `state`.

    Without libseccomp on this machine there is no filter. Raises InvalidInput for a profile that makes no sense.
    """
    path = profile_path(chosen)
    if path is None:
        return None
    facts = f"{_edition(path)} {os.uname().machine} {' '.join(capabilities)}"
    kept = state / f"seccomp-{blake2b(facts.encode(), digest_size=8).hexdigest()}"
    with contextlib.suppress(FileNotFoundError):
        return kept.read_bytes() or None
    from core.files import write_file
    from runtime.seccomp_compile import compile_rules

    compiled = compile_rules(flatten(path, capabilities))
    write_file(kept, compiled or b"", mode=0o600, sync=False)
    return compiled


def _edition(path: str) -> str:
    if not path:
        return EDITION
    status = os.stat(path)
    return f"{path} {status.st_mtime_ns} {status.st_size}"


def annotation(chosen: str, capabilities: Sequence[str], state: Path) -> tuple[tuple[str, str], ...]:
    """The filter as crun takes it."""
    compiled = program(chosen, capabilities, state)
    if compiled is None:
        return ()
    import binascii

    return ((ANNOTATION, binascii.b2a_base64(compiled, newline=False).decode()),)


def flatten(path: str, capabilities: Sequence[str]) -> dict[str, Any]:
    """The runtime spec's `linux.seccomp` (config-linux.md) of a profile, with its conditions decided for here and now.

    Raises InvalidInput for what is none.
    """
    try:
        profile = _read(path)
        machine, arch = _MACHINES.get(os.uname().machine, ("", ""))
        others = [e["subArchitectures"] or () for e in profile.get("archMap", []) if e["architecture"] == machine]
        spec: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
        if "defaultErrnoRet" in profile:
            spec["defaultErrnoRet"] = profile["defaultErrnoRet"]
        if machine:
            spec["architectures"] = [machine, *(others[0] if others else [])]
        rules = profile.get("syscalls") or ()
        spec["syscalls"] = [rule for entry in rules for rule in _applied(entry, set(capabilities), arch)]
        _check_words(spec)
        return spec
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is no seccomp profile: {error}", "see containers-seccomp.json(5)") from error


def _read(path: str) -> Any:
    if path:
        return json.loads(Path(path).read_bytes())
    from runtime.default_profile import default_profile

    return default_profile()


def _check_words(spec: dict[str, Any]) -> None:
    from runtime.seccomp_compile import ACTIONS, COMPARISONS

    for action in (spec["defaultAction"], *(rule["action"] for rule in spec["syscalls"])):
        if action not in ACTIONS:
            raise ValueError(f"unknown action {action!r}")
    for argument in (argument for rule in spec["syscalls"] for argument in rule.get("args", ())):
        if argument["op"] not in COMPARISONS or not isinstance(argument["index"] + argument["value"], int):
            raise ValueError(f"unknown comparison {argument!r}")


def _applied(entry: dict[str, Any], capabilities: set[str], arch: str) -> Iterator[dict[str, Any]]:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    if not set(includes.get("caps") or ()) <= capabilities or set(excludes.get("caps") or ()) & capabilities:
        return
    if (includes.get("arches") and arch not in includes["arches"]) or arch in (excludes.get("arches") or ()):
        return
    if not _is_new_enough(includes.get("minKernel")):
        return
    rule: dict[str, Any] = {"names": entry.get("names") or [entry["name"]], "action": entry["action"]}
    if "errnoRet" in entry:
        rule["errnoRet"] = entry["errnoRet"]
    if entry.get("args"):
        rule["args"] = entry["args"]
    yield rule


def _is_new_enough(version: str | None) -> bool:
    ours = os.uname().release.split("-")[0].split(".")
    return not version or [*map(int, ours[:2])] >= [*map(int, version.split(".")[:2])]


def filters(
    engine: str, chosen: str, capabilities: Sequence[str], state: Path
) -> tuple[tuple[tuple[str, str], ...], dict[str, Any] | None]:
    """The filter as `engine` takes it: annotations, and the rules for `linux.seccomp`."""
    if engine in ("crun", "chroot"):
        return annotation(chosen, capabilities, state), None
    path = profile_path(chosen)
    return (), None if path is None else flatten(path, capabilities)
