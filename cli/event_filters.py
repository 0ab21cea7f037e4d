"""`events --filter`: each key's values are alternatives, all keys must hold; every label must be there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from cli.filter_pairs import by_key

if TYPE_CHECKING:
    from store.events import Event

    Test = Callable[[Event], bool]

THINGS = ("container", "image", "network", "volume", "plugin", "daemon", "node", "service", "secret", "config")
KEYS = (*THINGS, "event", "label", "scope", "type")


def event_filter(texts: Iterable[str]) -> Test:
    """Whether an event is wanted. Raises InvalidInput for an unknown key."""
    tests = {key: [_test(key, value) for value in values] for key, values in by_key(texts, KEYS).items()}
    return lambda event: all((all if key == "label" else any)(t(event) for t in some) for key, some in tests.items())


def _test(key: str, value: str) -> Test:
    if key == "type":
        return lambda event: event.kind == value
    if key == "event":  # `exec_start` finds `exec_start: ls`, `health_status` finds `health_status: healthy`
        return lambda event: event.action == value or event.action.startswith(f"{value}: ")
    if key == "scope":
        return lambda event: value == "local"
    if key == "label":
        name, equals, wanted = value.partition("=")
        return lambda event: name in event.attributes and (not equals or event.attributes[name] == wanted)
    if key == "image":
        return lambda event: _is_image(event, value)
    return lambda event: event.kind == key and _names(event, value)


def _names(event: Event, value: str) -> bool:
    return event.attributes.get("name") == value or (bool(value) and event.id.startswith(value))


def _is_image(event: Event, value: str) -> bool:
    """The image itself, or a container's; a name without a tag stands for every tag."""
    if event.kind == "image":
        names = (event.id, event.id.removeprefix("sha256:"), event.attributes.get("name", ""))
    elif event.kind == "container":
        names = (event.attributes.get("image", ""),) * 3
    else:
        return False
    return value in names or any(name.rpartition(":")[0] == value for name in (names[0], names[2])) or (
        event.kind == "image" and len(value) > 3 and names[1].startswith(value)
    )  # fmt: skip
