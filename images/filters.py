"""`--filter KEY=VALUE`: reading the arguments, and the tests that images have to pass."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping

from core.clock import parse_instant
from core.errors import InvalidInput
from core.units import parse_duration
from core.value import Value

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class Filters(Value):
    """Filters by key, in the order they were given."""

    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, arguments: Iterable[str], known: Iterable[str]) -> Filters:
        """From `key=value` words; `label!=x` has the key `label!`. Raises InvalidInput for a key that is not in `known`."""
        found: dict[str, tuple[str, ...]] = {}
        for argument in arguments:
            key, equals, value = argument.partition("=")
            key = key.strip().lower()
            if not equals:
                raise InvalidInput(
                    f"bad format of filter (expected name=value): {argument!r}", "write it as name=value"
                )
            if key not in known:
                raise InvalidInput(f"invalid filter {key!r}", f"known filters: {', '.join(sorted(known))}")
            found[key] = (*found.get(key, ()), value.strip())
        return cls(found)

    def get(self, key: str) -> tuple[str, ...]:
        return self.values.get(key, ())

    def flag(self, key: str) -> bool | None:
        """The boolean filter `key`, None when not given. Raises InvalidInput."""
        for value in self.get(key)[-1:]:
            if value not in _TRUE + _FALSE:
                raise InvalidInput(f"invalid filter '{key}=[{value}]'", "write true or false")
            return value in _TRUE
        return None

    def until(self) -> int | None:
        """The `until` filter as nanoseconds since the epoch. Raises InvalidInput."""
        values = self.get("until")
        if len(values) > 1:
            raise InvalidInput("more than one until filter specified", "give the filter until once")
        return instant(values[0]) if values else None

    def labels_match(self, labels: Mapping[str, str]) -> bool:
        """Whether every `label` is there and no `label!` is."""
        return all(_has(labels, wanted) for wanted in self.get("label")) and not any(
            _has(labels, refused) for refused in self.get("label!")
        )


def instant(text: str) -> int:
    """Nanoseconds since the epoch: a Unix time, a date, an RFC 3339 instant, or a Go duration back from now."""
    if re.fullmatch(r"\d+(\.\d{1,9})?", text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * 10**9 + int(fraction.ljust(9, "0") or 0)
    try:
        return time.time_ns() - parse_duration(text)
    except InvalidInput:
        pass
    try:
        return parse_instant(_completed(text))
    except InvalidInput as error:
        raise InvalidInput(
            f'failed to parse value as time or duration: "{text}"',
            "write a duration such as 24h, a date, or a time such as 2026-01-31T12:00:00Z",
        ) from error


def _completed(text: str) -> str:
    """A date, or a time without its seconds or zone, filled up; a missing zone is the local one."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::?(\d\d)(?::?(\d\d(?:\.\d+)?))?)?)?(Z|[+-]\d\d:\d\d)?", text)
    if not found:
        return text
    clock = f"{found[2] or '00'}:{found[3] or '00'}:{found[4] or '00'}"
    return f"{found[1]}T{clock}{found[5] or _local_zone(found[1])}"


def _local_zone(date: str) -> str:
    from datetime import datetime

    try:
        zone = datetime.fromisoformat(date).astimezone().strftime("%z")
    except ValueError:
        return "Z"
    return f"{zone[:3]}:{zone[3:5]}"


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
