"""`--mount` as values."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from cli.volume_flags import PROPAGATION, bind_options, host_path
from core.errors import InvalidInput, LamellaError
from core.paths import clean
from runtime.mounts import Mount
from runtime.volumes import Wish

_TRUE, _FALSE = {"1", "t", "true"}, {"0", "f", "false"}
_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_BARE = {"readonly", "volume-nocopy", "bind-nonrecursive"}
_KEYS = {
    "type", "source", "target", "readonly", "consistency", "bind-propagation", "bind-nonrecursive", "bind-recursive",
    "volume-nocopy", "volume-label", "volume-driver", "volume-opt", "volume-subpath", "image-subpath", "tmpfs-size",
    "tmpfs-mode",
}  # fmt: skip
_TYPES = ("bind", "volume", "tmpfs", "image")
_RECURSIVE = ("enabled", "disabled", "writable", "readonly")
Fields = dict[str, Any]


def mounts(flags: Iterable[str], cwd: str) -> tuple[tuple[Mount, ...], tuple[Wish, ...]]:
    """The mounts, and how volumes among them are to be made. Raises InvalidInput, in Docker's words."""
    made, wishes = [], []
    for flag in flags:
        try:
            fields = _parse(flag)
        except InvalidInput as error:
            raise InvalidInput(f'invalid argument "{flag}" for "--mount" flag: {error.message}', error.hint) from error
        made.append(_mount(fields, cwd))
        if "volume-label" in fields or "volume-opt" in fields:
            wishes.append(Wish(made[-1].target, fields.get("volume-label"), fields.get("volume-opt")))
    return tuple(made), tuple(wishes)


def _parse(flag: str) -> Fields:
    """The fields by their first names; what may come several times as a dictionary."""
    fields: Fields = {"type": "volume"}
    for word in _words(flag):
        key, equals, value = word.partition("=")
        key = _NAMES.get(key.lower(), key.lower())
        if not equals:
            if key not in _BARE:
                raise InvalidInput(f"invalid field '{word}' must be a key=value pair")
            fields[key] = True
        elif key not in _KEYS:
            raise InvalidInput(f"unexpected key '{key}' in '{word}'", f"the keys are {', '.join(sorted(_KEYS))}")
        elif key in ("volume-label", "volume-opt"):
            fields.setdefault(key, {})[value.partition("=")[0]] = value.partition("=")[2]
        else:
            fields[key] = _value(key, value)
    _check(fields)
    return fields


def _words(flag: str) -> list[str]:
    import csv

    try:
        return next(iter(csv.reader([flag], strict=True)), [])
    except csv.Error as error:
        raise InvalidInput(f"parse error: {error}", 'quote a field as a whole: "source=a,b"') from error


def _value(key: str, value: str) -> Any:
    if key in _BARE:
        if value.lower() not in _TRUE | _FALSE:
            raise InvalidInput(f"invalid value for {key}: {value}", "use true or false")
        return value.lower() in _TRUE
    if key == "tmpfs-size":
        return _size(value)
    if key == "tmpfs-mode":
        if not value or value.strip("01234567"):
            raise InvalidInput(f"invalid value for {key}: {value}", "write the mode in octal: 1777")
        return int(value, 8)
    if key == "bind-recursive" and value not in _RECURSIVE:
        raise InvalidInput(
            f'invalid value for {key}: {value} (must be "enabled", "disabled", "writable", or "readonly")'
        )
    return value.lower() if key == "type" else value


def _size(value: str) -> int:
    from core.units import parse_size

    try:
        return parse_size(value)
    except LamellaError as error:
        raise InvalidInput(f"invalid value for tmpfs-size: {value}", "write it like 64m") from error


def _check(fields: Fields) -> None:
    kind = fields["type"]
    if not kind:
        raise InvalidInput("type is required", f"the types are {', '.join(_TYPES)}")
    if not fields.get("target"):
        raise InvalidInput("target is required", "say where it goes: target=/path")
    for family in ("volume", "bind", "tmpfs", "image"):
        if kind != family and any(key.startswith(f"{family}-") for key in fields):
            raise InvalidInput(f"cannot mix '{family}-*' options with mount type '{kind}'")
    if fields.get("bind-recursive") == "readonly":
        if not fields.get("readonly"):
            raise InvalidInput("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
        if fields.get("bind-propagation") not in (None, "rprivate"):
            raise InvalidInput(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
            )


def _mount(fields: Fields, cwd: str) -> Mount:
    kind, source, read_only = fields["type"], fields.get("source", ""), bool(fields.get("readonly"))
    target = _target(fields)
    if kind == "tmpfs":
        if source:
            raise _invalid(kind, "field Source must not be specified")
        return Mount("", target, "tmpfs", read_only, _tmpfs_options(fields))
    if kind == "bind":
        return _bind(fields, source, target, read_only, cwd)
    if kind == "image":
        if not source:
            raise _invalid(kind, "field Source must not be empty")
        return Mount("", target, "image", True, (), source, "", fields.get("image-subpath", ""))
    if kind != "volume":
        raise _invalid(kind, "mount type unknown")
    if read_only and not source:
        raise _invalid(kind, "must not set ReadOnly mode when using anonymous volumes")
    return Mount(
        "", target, "volume", read_only, ("rprivate", "nodev"), source, fields.get("volume-driver", ""),
        fields.get("volume-subpath", ""), not source, not fields.get("volume-nocopy"), "z",
    )  # fmt: skip


def _bind(fields: Fields, source: str, target: str, read_only: bool, cwd: str) -> Mount:
    if not source:
        raise _invalid("bind", "field Source must not be empty")
    path = host_path(source, cwd)
    if path is None:
        raise _invalid("bind", f"invalid mount path: '{source}' mount path must be absolute")
    propagation = fields.get("bind-propagation") or "rprivate"
    if propagation not in PROPAGATION:
        raise _invalid("bind", f"invalid propagation mode: {propagation}")
    if not os.path.lexists(path):
        raise _invalid("bind", f"bind source path does not exist: {path}", "create it first; --mount does not")
    recursive = "disabled" if fields.get("bind-nonrecursive") else fields.get("bind-recursive", "enabled")
    return Mount(path, target, "bind", read_only, bind_options(propagation, read_only=read_only, recursive=recursive))


def _target(fields: Fields) -> str:
    target = fields["target"]
    if not target.startswith("/"):
        raise _invalid(fields["type"], f"invalid mount path: '{target}' mount path must be absolute")
    if clean(target) == "/":
        raise _invalid(fields["type"], "invalid specification: destination can't be '/'")
    return clean(target)


def _invalid(kind: str, why: str, hint: str | None = None) -> InvalidInput:
    return InvalidInput(f'invalid mount config for type "{kind}": {why}', hint)


def _tmpfs_options(fields: Fields) -> tuple[str, ...]:
    size = [f"size={fields['tmpfs-size']}"] if "tmpfs-size" in fields else []
    return ("noexec", *size, f"mode={fields.get('tmpfs-mode', 0o1777):o}")
