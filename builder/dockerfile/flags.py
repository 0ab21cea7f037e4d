"""The `--flags` of instructions: which there are, and what was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from builder.dockerfile.source import suggestion
from core.value import Value

Kind = Literal["text", "bool", "list"]

_TRANSFER: dict[str, Kind] = {"chown": "text", "chmod": "text", "link": "bool", "exclude": "list"}
FLAGS: Mapping[str, Mapping[str, Kind]] = {
    "FROM": {"platform": "text"},
    "RUN": {"mount": "list", "network": "text", "security": "text", "device": "list"},
    "COPY": {**_TRANSFER, "from": "text", "parents": "bool"},
    "ADD": {**_TRANSFER, "checksum": "text", "keep-git-dir": "bool", "unpack": "bool"},
    "HEALTHCHECK": {
        "interval": "text", "timeout": "text", "start-period": "text", "start-interval": "text", "retries": "text",
    },
}  # fmt: skip


class FlagError(Exception):
    """A flag that does not exist, is there twice, or has no fitting value."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Flags(Value):
    """The flags of one instruction; asking for one that was not given is fine."""

    texts: Mapping[str, str]
    bools: Mapping[str, bool]
    lists: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        return self.texts.get(name, "")

    def bool(self, name: str) -> bool:
        return self.bools.get(name, False)

    def list(self, name: str) -> tuple[str, ...]:
        return self.lists.get(name, ())


def parse_flags(instruction: str, given: Sequence[str]) -> Flags:
    """`given` as `instruction` (upper case) understands them. Raises FlagError."""
    known = FLAGS.get(instruction, {})
    texts: dict[str, str] = {}
    bools: dict[str, bool] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for word in given:
        name, equals, value = word[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            raise _unknown(instruction, name, known)
        if name in texts or name in bools:
            raise FlagError(f"the flag --{name} is given twice")
        if kind == "bool":
            bools[name] = _truth(name, value, bool(equals))
            continue
        if not equals:
            raise FlagError(f"the flag --{name} needs a value", f"write --{name}=VALUE")
        if kind == "text":
            texts[name] = value
        else:
            lists[name] = (*lists.get(name, ()), value)
    return Flags(texts, bools, lists)


def _truth(name: str, value: str, has_value: bool) -> bool:
    if not has_value or value.lower() == "true":
        return True
    if value.lower() == "false":
        return False
    raise FlagError(f"the flag --{name} is true or false, not {value!r}")


def _unknown(instruction: str, name: str, known: Mapping[str, Kind]) -> FlagError:
    hint = suggestion(name, known)
    if hint:
        hint = hint.replace("mean ", "mean --")
    elif known:
        hint = f"{instruction} has " + ", ".join(f"--{flag}" for flag in sorted(known))
    else:
        hint = f"{instruction} has no flags"
    return FlagError(f"unknown flag --{name} for {instruction}", hint)
