"""-v, --mount and --tmpfs as values."""

from __future__ import annotations

import os
from collections.abc import Iterable

from core.errors import InvalidInput, Unsupported
from core.paths import clean
from runtime.mounts import Mount

_VOLUME_OPTIONS = {"ro", "rw", "z", "Z", "nocopy"}
_PROPAGATION = {"rprivate", "private", "rshared", "shared", "rslave", "slave"}


def volumes(flags: Iterable[str], cwd: str) -> tuple[tuple[Mount, ...], tuple[str, ...]]:
    """The bind mounts and the anonymous volumes that `-v` flags mean. A relative source starts with `./`, at `cwd`."""
    mounts, anonymous = [], []
    for flag in flags:
        parts = flag.split(":")
        if len(parts) == 1:
            anonymous.append(_target(parts[0], flag))
        elif len(parts) in (2, 3):
            mounts.append(_bind(parts[0], parts[1], parts[2].split(",") if len(parts) == 3 else [], flag, cwd))
        else:
            raise InvalidInput(f"invalid volume specification: {flag!r}", "write it as SOURCE:TARGET[:OPTIONS]")
    return tuple(mounts), tuple(anonymous)


def _bind(source: str, target: str, options: list[str], flag: str, cwd: str) -> Mount:
    unknown = set(options) - _VOLUME_OPTIONS - _PROPAGATION
    if unknown:
        raise InvalidInput(f"invalid mode in {flag!r}: {', '.join(sorted(unknown))}", "use ro or rw")
    path = _source(source, flag, cwd)
    os.makedirs(path, 0o755, exist_ok=True) if not os.path.lexists(path) else None
    propagation = next((o for o in options if o in _PROPAGATION), "rprivate")
    return Mount(path, _target(target, flag), "bind", "ro" in options, (propagation, "nodev"))


def _source(source: str, flag: str, cwd: str) -> str:
    if source.startswith(("./", "../")) or source in (".", ".."):
        return os.path.normpath(f"{cwd}/{source}")
    if not source.startswith("/"):
        raise Unsupported(
            f"named volumes are not there yet: {flag!r}",
            f"use a directory of the host: -v /path/to/{source or 'dir'}:…",
        )
    return source


def _target(target: str, flag: str) -> str:
    if not target.startswith("/") or clean(target) == "/":
        raise InvalidInput(f"invalid mount path in {flag!r}", "the path in the container must be absolute, and not /")
    return clean(target)


def mounts(flags: Iterable[str], cwd: str) -> tuple[Mount, ...]:
    """`--mount type=bind,source=…,target=…[,readonly]` and `type=tmpfs,target=…[,tmpfs-size=…][,tmpfs-mode=…]`."""
    return tuple(_mount(flag, cwd) for flag in flags)


def _mount(flag: str, cwd: str) -> Mount:
    fields = {key.strip().lower(): value for key, _, value in (part.partition("=") for part in flag.split(","))}
    kind = fields.get("type", "volume")
    target = _target(next((fields[k] for k in ("target", "destination", "dst") if k in fields), ""), flag)
    read_only = any(fields.get(k, "false") in ("", "true", "1") for k in ("readonly", "ro"))
    source = next((fields[k] for k in ("source", "src") if k in fields), "")
    if kind == "tmpfs":
        return Mount("", target, "tmpfs", read_only, _tmpfs_options(fields))
    if kind != "bind":
        raise Unsupported(f"--mount type={kind} is not there yet", "use type=bind or type=tmpfs")
    path = _source(source, flag, cwd)
    if not os.path.lexists(path):
        raise InvalidInput(f"bind source path does not exist: {path}", "create it first; --mount does not")
    return Mount(path, target, "bind", read_only, (fields.get("bind-propagation", "rprivate"), "nodev"))


def _tmpfs_options(fields: dict[str, str]) -> tuple[str, ...]:
    from core.units import parse_size

    size = [f"size={parse_size(fields['tmpfs-size'])}"] if "tmpfs-size" in fields else []
    return ("noexec", *size, f"mode={fields.get('tmpfs-mode', '1777')}")


def tmpfs(flags: Iterable[str]) -> tuple[Mount, ...]:
    """`--tmpfs TARGET[:OPTIONS]`."""
    found = []
    for flag in flags:
        target, _, options = flag.partition(":")
        words = tuple(options.split(",")) if options else ("noexec",)
        found.append(Mount("", _target(target, flag), "tmpfs", "ro" in words, tuple(w for w in words if w != "ro")))
    return tuple(found)
