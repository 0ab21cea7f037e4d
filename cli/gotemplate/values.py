"""Python values as Go's templates see them: what is empty, how a value prints, what a missing field means.

JSON says less than Go's types do: whether `null` is an absent list or an absent struct, and whether an object has fixed
fields or free keys. The names that Docker's objects use tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MAPS = frozenset(
    [
        "Labels",
        "Annotations",
        "Ports",
        "ExposedPorts",
        "Volumes",
        "Networks",
        "Options",
        "DriverOpts",
        "Sysctls",
        "Tmpfs",
        "StorageOpt",
        "Runtimes",
        "Data",
        "Attributes",
        "GraphOptions",
    ]
)
_LISTS = frozenset(
    [
        "Env",
        "Cmd",
        "Entrypoint",
        "OnBuild",
        "Shell",
        "RepoTags",
        "RepoDigests",
        "Mounts",
        "Binds",
        "Args",
        "Layers",
        "History",
        "Tags",
        "Names",
        "ExecIDs",
        "Warnings",
        "SecurityOpt",
        "CapAdd",
        "CapDrop",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "ExtraHosts",
        "GroupAdd",
        "Links",
        "Devices",
        "Ulimits",
        "DriverStatus",
        "SecurityOptions",
        "Test",
        "VolumesFrom",
    ]
)
_OPTIONAL = frozenset(
    [
        "StopSignal",
        "Healthcheck",
        "Shell",
        "ExposedPorts",
        "OnBuild",
        "ArgsEscaped",
        "Variant",
        "OsVersion",
        "Health",
        "Comment",
        "Author",
    ]
)
_TEXTS = frozenset(["StopSignal", "Variant", "OsVersion", "Comment", "Author"])


class Missing:
    """A value that is not there; `text` is what Go prints for its type."""

    def __init__(self, text: str) -> None:
        self.text = text


NO_VALUE = Missing("<no value>")
NIL = Missing("<nil>")


class FreeKeys(dict[str, Any]):
    """An object whose keys are data: a key that is absent is no mistake."""


class NoSuchField(Exception):
    """The object has no field of that name."""


def field(value: Any, name: str) -> Any:
    """`value.name`. Raises NoSuchField with the reason."""
    if isinstance(value, FreeKeys):
        return typed(name, value[name]) if name in value else NO_VALUE
    if isinstance(value, Mapping):
        if name in value:
            return typed(name, value[name])
        if name in _OPTIONAL and name != "Health":
            return "" if name in _TEXTS else typed(name, None)
        raise NoSuchField(f"no such field: {name}")
    if isinstance(value, Missing) and value.text == "map[]":
        return NO_VALUE
    if isinstance(value, Missing) or value is None:
        raise NoSuchField(f"nil value has no field {name}")
    raise NoSuchField(f"can't evaluate field {name} in a {kind(value)}")


def typed(name: str, value: Any) -> Any:
    """`value`, with what the field's name tells of its type."""
    if value is None:
        return Missing("[]") if name in _LISTS else Missing("map[]") if name in _MAPS else NIL
    if name in _MAPS and isinstance(value, Mapping):
        return FreeKeys(value)
    return value


def kind(value: Any) -> str:
    """The word for the value's type in messages."""
    words = {str: "string", bool: "bool", int: "int", float: "float64", list: "list", tuple: "list"}
    return words.get(type(value), "map" if isinstance(value, Mapping) else "nil value")


def truth(value: Any) -> bool:
    """Whether `if` takes the value for true: not empty, not zero."""
    return not isinstance(value, Missing) and bool(value)


def show(value: Any) -> str:
    """As Go's `%v` prints it."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return "<nil>"
    if isinstance(value, Missing):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, Mapping):
        return _show_mapping(value)
    if isinstance(value, Sequence):
        return f"[{' '.join(map(show, value))}]"
    return str(value)


def show_float(value: float) -> str:
    """Go's shortest form: an exponent below 1e-4 and from 1e21 on."""
    if value == 0 or 1e-4 <= abs(value) < 1e21:
        text = repr(value) if "e" not in repr(value) else f"{value:f}"
        return text.removesuffix(".0")
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value).replace(".0e", "e"))


def _show_mapping(value: Mapping[str, Any]) -> str:
    if isinstance(value, FreeKeys):
        return f"map[{' '.join(f'{show(k)}:{show(value[k])}' for k in sorted(value))}]"
    return "{" + " ".join(show(typed(k, v)) for k, v in value.items() if not callable(v)) + "}"
