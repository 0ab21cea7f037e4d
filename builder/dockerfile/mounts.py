"""The values of `RUN --mount=...` (reference: Dockerfile, "RUN --mount")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from builder.dockerfile.expand import Expander, ExpansionError
from builder.dockerfile.source import suggestion
from core.errors import InvalidInput
from core.units import parse_size, whole_number
from core.value import Value, replace

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_NAMES = {
    "type": "type", "from": "origin", "source": "source", "src": "source", "target": "target", "dst": "target",
    "destination": "target", "readonly": "read_only", "ro": "read_only", "readwrite": "writable", "rw": "writable",
    "id": "id", "sharing": "sharing", "required": "required", "size": "size", "mode": "mode", "uid": "uid",
    "gid": "gid", "env": "env",
}  # fmt: skip
_FLAGS = ("read_only", "writable", "required")
_ONLY_FOR = {
    "sharing": ("cache",), "size": ("tmpfs",), "required": ("secret", "ssh"), "mode": ("cache", "secret", "ssh"),
    "uid": ("cache", "secret", "ssh"), "gid": ("cache", "secret", "ssh"),
}  # fmt: skip
_TRUTH = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)


class Mount(Value):
    """One mount. `raw` is the text of the flag; where it has variables, the fields that need them are right only once
    expanded. `origin` (from=) is never expanded and names a stage, a context or an image; empty is the build context.

    None and "" mean not given. `size` in bytes, 0 = no limit. `env` is the variable that gets a secret; "" = its id.
    """

    raw: str
    type: MountType = "bind"
    origin: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = True
    id: str = ""
    sharing: Sharing | None = None
    required: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None

    def expanded(self, expander: Expander) -> Mount:
        """Read again with variables replaced. Raises ExpansionError for what is no valid mount then."""
        return parse_mount(self.raw, expander)


def parse_mount(raw: str, expander: Expander | None = None) -> Mount:
    """The mount that `raw` describes. Raises ExpansionError.

    Without `expander`, a value that has a `$` in it counts as not given, and rules that depend on it wait.
    """
    fields: dict[str, Any] = {}
    later = False
    for item in _csv(raw):
        name, key, value = _field(item)
        if value is not None and name == "origin":
            _fixed_origin(value)
        elif value is not None and "$" in value and expander is None:
            later = True
            continue
        elif value is not None and expander:
            value = expander.text(value)
        fields[name] = _value(name, key, value)
    writable = fields.pop("writable", None)
    mount = Mount(raw, **fields)
    if writable is not None:
        mount = replace(mount, read_only=not writable)
    elif "read_only" not in fields:
        mount = replace(mount, read_only=mount.type not in ("cache", "tmpfs"))
    if not later:
        _check(mount, fields)
    return mount


def _csv(raw: str) -> list[str]:
    """The fields of one line of CSV; quotes as RFC 4180 has them."""
    import csv

    try:
        rows = list(csv.reader([raw], strict=True))
    except csv.Error as error:
        raise ExpansionError(
            f"--mount={raw}: {error}", "quote a value that has a comma: --mount='\"id=a,b\"'"
        ) from None
    return rows[0] if rows else []


def _field(item: str) -> tuple[str, str, str | None]:
    """The Mount's field, the key as written and the value, which is None for a bare key."""
    key, equals, value = item.partition("=")
    key = key.lower()
    name = _NAMES.get(key)
    if name is None:
        raise ExpansionError(
            f"unknown key {key!r} in --mount", suggestion(key, _NAMES) or "keys are " + ", ".join(sorted(_NAMES))
        )
    if not equals and name not in _FLAGS:
        raise ExpansionError(f"the key {key!r} in --mount needs a value", f"write {key}=VALUE")
    return name, key, value if equals else None


def _fixed_origin(value: str) -> None:
    if "$" in value[:-1]:
        raise ExpansionError(
            f"from={value} in --mount cannot have a variable",
            "name a stage of its own: FROM $IMAGE AS name, then from=name",
        )


def _value(name: str, key: str, text: str | None) -> Any:
    if name in _FLAGS:
        if text is not None and text not in _TRUTH:
            raise ExpansionError(f"{key} in --mount is true or false, not {text!r}")
        return True if text is None else _TRUTH[text]
    assert text is not None
    if name in ("type", "sharing"):
        return _choice(key, text.lower(), _TYPES if name == "type" else _SHARING)
    if name in ("mode", "uid", "gid"):
        return _number(key, text, 8 if name == "mode" else 10)
    return _size(text) if name == "size" else text


def _choice(key: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ExpansionError(
            f"{key}={text} in --mount does not exist", suggestion(text, choices) or "there are " + ", ".join(choices)
        )
    return text


def _number(key: str, text: str, base: int) -> int:
    if whole_number(text, 10**12) is None or (base == 8 and set(text) & {"8", "9"}) or int(text, base) >> 32:
        kind = "an octal mode such as 0600" if base == 8 else "a number"
        raise ExpansionError(f"{key}={text} in --mount is not {kind}")
    return int(text, base)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except InvalidInput as error:
        raise ExpansionError(f"size={text} in --mount: {error.message}", error.hint) from None


def _check(mount: Mount, given: Mapping[str, Any]) -> None:
    """The rules between fields."""
    for name, types in _ONLY_FOR.items():
        if name in given and mount.type not in types:
            raise ExpansionError(
                f"{name} in --mount does not go with type={mount.type}", f"it is for type={' or type='.join(types)}"
            )
    if mount.env is not None and (mount.type != "secret" or set("=\0") & set(mount.env)):
        raise ExpansionError(f"env={mount.env} in --mount names no variable for a secret", "write type=secret,env=NAME")
    if mount.type != "secret":
        return
    if mount.origin:
        raise ExpansionError("from in --mount does not go with type=secret")
    if mount.source and mount.id:
        raise ExpansionError("a secret's --mount has both id and source", "give one of them")
    if not (mount.source or mount.id or mount.target):
        raise ExpansionError("a secret's --mount needs an id", "write --mount=type=secret,id=NAME")
