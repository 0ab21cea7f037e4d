"""`container prune --filter`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from core.errors import InvalidInput

if TYPE_CHECKING:
    from runtime.container import Container


def prune_filter(texts: Iterable[str]) -> Callable[[Container], bool]:
    """What `label=…`, `label!=…` and `until=…` together accept. Raises InvalidInput."""
    tests: list[Callable[[Container], bool]] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in ("label", "label!", "until"):
            raise InvalidInput(f"invalid filter {text!r}", "use label=KEY[=VALUE], label!=KEY[=VALUE] or until=TIME")
        tests.append(_until(value) if key == "until" else _label(value, wanted=key == "label"))
    return lambda container: all(test(container) for test in tests)


def _until(value: str) -> Callable[[Container], bool]:
    from cli.logs import instant
    from core.clock import parse_instant

    limit = instant(value)
    return lambda container: parse_instant(container.created) < limit


def _label(value: str, *, wanted: bool) -> Callable[[Container], bool]:
    from cli.ps_filters import has_label

    return lambda container: has_label(container, value) == wanted
