"""`-v` as values."""

from __future__ import annotations

import os
from collections.abc import Iterable

from core.errors import InvalidInput
from core.paths import clean
from runtime.mounts import Mount

# Of each of these one word may be given.
_ACCESS, _LABEL, _COPY = {"ro", "rw"}, {"z", "Z"}, {"copy", "nocopy"}
_CONSISTENCY = {"consistent", "cached", "delegated"}
PROPAGATION = {"rprivate", "private", "rshared", "shared", "rslave", "slave"}
_GROUPS = (_ACCESS, _LABEL, PROPAGATION, _COPY, _CONSISTENCY)


def volumes(flags: Iterable[str], cwd: str) -> tuple[tuple[Mount, ...], tuple[str, ...]]:
    """The mounts and the anonymous volumes that `-v` flags mean. A relative directory of the host starts with `./`, at `cwd`."""
    mounts, anonymous = [], []
    for flag in flags:
        parts = flag.split(":")
        if len(parts) > 3 or "" in parts or (len(parts) == 2 and _is_mode(parts[1])):
            raise InvalidInput(f"invalid volume specification: '{flag}'", "write it as [SOURCE:]TARGET[:OPTIONS]")
        if len(parts) == 1:
            anonymous.append(target_of(parts[0], flag))
        else:
            mounts.append(_mount(parts[0], parts[1], parts[2] if len(parts) == 3 else "", flag, cwd))
    return tuple(mounts), tuple(dict.fromkeys(anonymous))


def _mount(source: str, target: str, mode: str, flag: str, cwd: str) -> Mount:
    if not _is_mode(mode):
        raise InvalidInput(f"invalid mode: {mode}", "use ro or rw, z or Z, nocopy, or a propagation such as rslave")
    words = set(mode.split(",")) if mode else set()
    read_only = "ro" in words
    path = host_path(source, cwd)
    place = target_of(target, flag, "volume" if path is None else "bind")
    if path is None:
        if words & PROPAGATION:
            raise InvalidInput(f"invalid volume specification: '{flag}'", "a volume has no propagation")
        return Mount("", place, "volume", read_only, ("rprivate", "nodev"), source, "", "", False, "nocopy" not in words,
                     mode or "z", flag)  # fmt: skip
    if words & _COPY:
        raise InvalidInput(f"invalid mode: {mode}", "copy and nocopy are for volumes")
    options = bind_options(next(iter(words & PROPAGATION), "rprivate"), read_only=read_only)
    if not os.path.lexists(path):
        os.makedirs(path, 0o755, exist_ok=True)
    return Mount(path, place, "bind", read_only, options, mode=mode, flag=f"{path}:{flag.partition(':')[2]}")


def _is_mode(mode: str) -> bool:
    """Whether `mode` is what may follow the target: words of which none contradicts another."""
    words = mode.split(",") if mode else []
    known = set().union(*_GROUPS)
    return all(word in known for word in words) and all(sum(word in group for word in words) <= 1 for group in _GROUPS)


def host_path(source: str, cwd: str) -> str | None:
    """The path on the host; None where `source` is a volume's name."""
    if source.startswith(("./", "../")) or source in (".", ".."):
        return os.path.normpath(f"{cwd}/{source}")
    return os.path.normpath(source) if source.startswith("/") else None


def target_of(target: str, flag: str, kind: str = "volume") -> str:
    """The clean path in the container. Raises InvalidInput."""
    wrong = f"invalid volume specification: '{flag}': invalid mount config for type \"{kind}\": "
    if not target.startswith("/"):
        raise InvalidInput(
            f"{wrong}invalid mount path: '{target}' mount path must be absolute",
            "the path in the container begins with /",
        )
    if clean(target) == "/":
        raise InvalidInput(
            f"{wrong}invalid specification: destination can't be '/'",
            "it would hide the whole image",
        )
    return clean(target)


def bind_options(propagation: str, *, read_only: bool, recursive: str = "enabled") -> tuple[str, ...]:
    """The mount(8) words of a bind. `recursive` is Docker's: read-only goes for what is mounted below too (`enabled`, where the
    kernel can; `readonly`, or it is an error), for the top alone (`writable`), or nothing is mounted below (`disabled`).

    Raises InvalidInput for a propagation that leads out of the container: it has no way there.
    """
    if propagation in ("shared", "rshared"):
        raise InvalidInput(
            f"propagation {propagation} is not supported: what a container mounts is never seen outside",
            "use rslave, if the container is to see what the host mounts",
        )
    words = (propagation, "nodev", *(("bind",) if recursive == "disabled" else ()))
    if not read_only or recursive in ("disabled", "writable"):
        return words
    version = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    if version >= (5, 12):
        return (*words, "rro")
    if recursive == "readonly":
        raise InvalidInput(
            "failed to make it read-only recursively: it needs Linux 5.12", "use bind-recursive=writable"
        )
    return words
