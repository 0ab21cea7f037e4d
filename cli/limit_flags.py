"""The flags that limit a container, as values; loaded where one of them is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import InvalidInput
from core.units import parse_size
from runtime.limits import Limits

_SIZES = ("memory", "memory_swap", "memory_reservation")
_NUMBERS = ("cpu_shares", "cpu_period", "cpu_quota", "pids_limit", "blkio_weight")
_RATES = ("device_read_bps", "device_write_bps", "device_read_iops", "device_write_iops")


def limits(flags: Mapping[str, Any]) -> Limits | None:
    """What the flags ask for, None for nothing. Raises InvalidInput for what cannot be read."""
    found: dict[str, Any] = {name: _size(name, flags[name]) for name in _SIZES if flags[name]}
    found |= {name: flags[name] for name in (*_NUMBERS, "memory_swappiness") if flags[name] is not None}
    found |= {name: flags[name] or "" for name in ("cpuset_cpus", "cpuset_mems", "cgroup_parent")}
    if flags["cpus"]:
        found["nano_cpus"] = billionths(flags["cpus"])
    found["oom_kill_disable"] = flags["oom_kill_disable"]
    found["blkio_weight_device"] = _devices("blkio_weight_device", flags, _weight)
    for name in _RATES:
        found[name] = _devices(name, flags, _rate if name.endswith("bps") else _operations)
    if found.get("pids_limit", 0) < 0:
        found["pids_limit"] = -1
    made = Limits(**found)
    return None if made == Limits() else made


def wrong(name: str, value: str, why: str) -> InvalidInput:
    """As Docker words a flag's value that makes no sense."""
    spelling = {"memory": "-m, --memory", "cpu_shares": "-c, --cpu-shares"}.get(name, "--" + name.replace("_", "-"))
    return InvalidInput(f'invalid argument "{value}" for "{spelling}" flag: {why}')


def _size(name: str, text: str) -> int:
    if name == "memory_swap" and text == "-1":
        return -1
    try:
        return parse_size(text)
    except InvalidInput:
        raise wrong(name, text, f"invalid size: '{text}'") from None


def billionths(text: str) -> int:
    """`1.5` processors as 1500000000."""
    found = re.fullmatch(r"(-?)(\d*)\.?(\d*)", text)
    if not found or not (found[2] or found[3]):
        raise wrong("cpus", text, f"failed to parse {text} as a rational number")
    if len(found[3].rstrip("0")) > 9:
        raise wrong("cpus", text, "value is too precise")
    value = int(found[2] or 0) * 10**9 + int(found[3][:9].ljust(9, "0"))
    return -value if found[1] else value


def _devices(name: str, flags: Mapping[str, Any], read: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(_device(name, text, read) for text in flags[name])


def _device(name: str, text: str, read: Callable[[str], str]) -> str:
    path, colon, number = text.partition(":")
    if not (path and colon and number):
        raise wrong(name, text, f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise wrong(name, text, f"bad format for device path: {text}")
    try:
        return f"{path}:{read(number)}"
    except (ValueError, InvalidInput):
        raise wrong(name, text, _FORMATS[read].format(text)) from None


def _weight(number: str) -> str:
    if not 10 <= int(number) <= 1000 and int(number) != 0:
        raise ValueError(number)
    return number


def _rate(number: str) -> str:
    return str(parse_size(number))


def _operations(number: str) -> str:
    if int(number) < 0:
        raise ValueError(number)
    return number


_POSITIVE = (
    "invalid rate for device: {{}}. The correct format is <device-path>:<number>{}. Number must be a positive integer"
)
_FORMATS: dict[Callable[[str], str], str] = {
    _weight: "invalid weight for device: {}",
    _rate: _POSITIVE.format("[<unit>]") + ". Unit is optional and can be kb, mb, or gb",
    _operations: _POSITIVE.format(""),
}
