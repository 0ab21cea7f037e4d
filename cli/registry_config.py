"""The registry's configuration file: TOML to `registry.server.policy`, every key checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import InvalidInput

if TYPE_CHECKING:
    from registry.server.policy import Policy

T = TypeVar("T")
Table = Mapping[str, Any]
NAME = "registry.toml"


def read_policy(data: Path, file: Path | None) -> Policy:
    """What `file` says, or `registry.toml` in the registry's directory where there is one; else the defaults.

    Raises InvalidInput, with the file and the key.
    """
    from registry.server.policy import Policy

    place = file or data / NAME
    if file is None and not place.exists():
        return Policy()
    import tomllib

    try:
        with place.open("rb") as stream:
            found = tomllib.load(stream)
    except OSError as error:
        raise InvalidInput(f"cannot read {place}: {error.strerror}", "check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{place}: {error}", "it must be TOML, see docs/registry.md") from error
    try:
        return _policy(found)
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error.message}", error.hint) from error


def _policy(found: Table) -> Policy:
    from registry.server.policy import Policy

    fields: dict[str, Any] = {}
    for name, table in _known(found, TOP, "the file").items():
        if name in SECTIONS:
            keys = SECTIONS[name]
            fields |= {
                keys[key][0]: keys[key][1](value, f"{name}.{key}") for key, value in _known(table, keys, name).items()
            }
        elif name == "quota":
            fields |= _quotas(table)
        else:
            fields[name] = tuple(RULES[name](rule, f"{name}[{n}]") for n, rule in enumerate(_list(table, name), 1))
    return Policy(**fields)


def _known(table: object, keys: Mapping[str, object], where: str) -> Table:
    if not isinstance(table, Mapping):
        raise InvalidInput(f"{where} must be a table")
    for key in table:
        if key not in keys:
            raise InvalidInput(f"{where} has no key {key!r}", f"known are {', '.join(keys)}")
    return table


def _quotas(table: object) -> dict[str, Any]:
    from registry.server.policy import QuotaRule

    known = _known(table, {"registry": 0, "repository": 0, "repositories": 0}, "quota")
    each = known.get("repositories", {})
    _known(each, each if isinstance(each, Mapping) else {}, "quota.repositories")  # any key is a pattern
    rules = [QuotaRule((one,), as_size(size, f"quota.repositories.{one}")) for one, size in each.items()]
    if "repository" in known:
        rules.append(QuotaRule(("**",), as_size(known["repository"], "quota.repository")))
    total = as_size(known["registry"], "quota.registry") if "registry" in known else None
    return {"quota": total, "quotas": tuple(rules)}


def _retention(rule: object, where: str) -> object:
    from registry.server.policy import RetentionRule

    keys: dict[str, Callable[[Any, str], Any]] = {
        "repositories": as_patterns, "tags": as_patterns, "keep": as_count, "pushed_within": as_duration,
        "pulled_within": as_duration, "always": as_patterns,
    }  # fmt: skip
    made = RetentionRule(**{k: keys[k](v, f"{where}.{k}") for k, v in _known(rule, keys, where).items()})
    if made.keep is made.pushed_within is made.pulled_within is None and not made.always:
        raise InvalidInput(f"{where} keeps nothing at all", "say keep, pushed_within, pulled_within or always")
    return made


def _immutable(rule: object, where: str) -> object:
    from registry.server.policy import ImmutableRule

    keys = {"repositories": as_patterns, "tags": as_patterns}
    return ImmutableRule(**{k: keys[k](v, f"{where}.{k}") for k, v in _known(rule, keys, where).items()})


def as_duration(value: object, where: str) -> int:
    """Nanoseconds in `90s`, `24h`, `7d` or `2w`, or a mixture. Raises InvalidInput."""
    from core.units import parse_duration

    text = str(value)
    days = re.match(r"(?:(\d+)w)?(?:(\d+)d)?", text)
    assert days is not None  # all of it is optional
    rest = text[days.end() :]
    try:
        nanoseconds = parse_duration(rest or "0") if rest or days.end() else parse_duration(text)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}", "write it like 30s, 24h, 7d or 2w") from error
    if nanoseconds < 0:
        raise InvalidInput(f"{where}: {text!r} is negative", "write it like 30s, 24h, 7d or 2w")
    return nanoseconds + (int(days[1] or 0) * 7 + int(days[2] or 0)) * 86400 * 10**9


def as_seconds(value: object, where: str) -> float:
    """The same in seconds."""
    return as_duration(value, where) / 10**9


def as_size(value: object, where: str) -> int:
    """Bytes in `10GiB` or a plain number. Raises InvalidInput."""
    from core.units import parse_size

    try:
        return parse_size(str(value))
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}", error.hint) from error


def as_count(value: object, where: str) -> int:
    """A number that is not negative. Raises InvalidInput."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInput(f"{where} must be a number, 0 or more")
    return value


def as_flag(value: object, where: str) -> bool:
    """Raises InvalidInput unless it is true or false."""
    if not isinstance(value, bool):
        raise InvalidInput(f"{where} must be true or false")
    return value


def as_patterns(value: object, where: str) -> tuple[str, ...]:
    """One pattern or several. Raises InvalidInput."""
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not patterns or not all(isinstance(one, str) and one for one in patterns):
        raise InvalidInput(f"{where} must be a pattern or a list of patterns", 'such as "team/*"')
    return tuple(patterns)


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise InvalidInput(f"{where} must be a list of tables", f"write it as [[{where}]]")
    return value


Reader = Callable[[Any, str], Any]
SECTIONS: dict[str, dict[str, tuple[str, Reader]]] = {
    "gc": {
        "delay": ("delay", as_duration), "unreferenced": ("unreferenced", as_duration), "interval": ("interval", as_seconds),
        "untagged": ("untagged", as_flag),
    },
    "uploads": {"expire": ("uploads_expire", as_seconds)},
}  # fmt: skip
RULES: dict[str, Reader] = {"retention": _retention, "immutable": _immutable}
TOP = {**SECTIONS, "quota": 0, **RULES}
