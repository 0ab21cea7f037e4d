"""`container prune --filter`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput

if TYPE_CHECKING:
    from runtime.container import Container


Test = Callable[[Any], bool]


def prune_filter(texts: Iterable[str]) -> Callable[[Container], bool]:
    """What `label=…`, `label!=…` and `until=…` together accept. Raises InvalidInput."""
    from cli.ps_filters import has_label

    tests = tests_of(texts, has_label)
    return lambda container: all(test(container) for test in tests)


def tests_of(texts: Iterable[str], has_label: Callable[[Any, str], bool]) -> list[Test]:
    """The same as a list of tests, for whatever has labels and was `created`."""
    tests: list[Test] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in ("label", "label!", "until"):
            raise InvalidInput(f"invalid filter {text!r}", "use label=KEY[=VALUE], label!=KEY[=VALUE] or until=TIME")
        tests.append(_until(value) if key == "until" else _label(value, has_label, wanted=key == "label"))
    return tests


def _until(value: str) -> Test:
    from cli.logs import instant
    from core.clock import parse_instant

    limit = instant(value)
    return lambda thing: parse_instant(thing.created) < limit


def _label(value: str, has_label: Callable[[Any, str], bool], *, wanted: bool) -> Test:
    return lambda thing: has_label(thing, value) == wanted
