"""`--filter KEY=VALUE`, given several times."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def by_key(texts: Iterable[str], keys: Collection[str]) -> dict[str, list[str]]:
    """The values of each key, in their order. Raises InvalidInput for what is not KEY=VALUE with one of `keys`."""
    from core.errors import InvalidInput

    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in keys:
            raise InvalidInput(f"invalid filter {text!r}", f"write KEY=VALUE; the keys are {', '.join(keys)}")
        found.setdefault(key, []).append(value)
    return found
