"""`ps --filter` and `container prune --filter`: each key's values are alternatives, all keys must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cli.filter_pairs import by_key
from core.clock import parse_instant
from core.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from cli.containers import Workshop
    from runtime.container import Container
    from runtime.status import Status

    Test = Callable[[Container, Status], bool]

STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
HEALTH = ("starting", "healthy", "unhealthy", "none")
KEYS = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name", "network", "publish", "since",
    "status", "volume",
)  # fmt: skip
ALL_MUST_HOLD = ("label",)


class Filters:
    """Parsed filters."""

    def __init__(self, tests: dict[str, list[Test]], wants_stopped: bool) -> None:
        self._tests = tests
        self.wants_stopped = wants_stopped

    @classmethod
    def parse(cls, texts: Iterable[str], shop: Workshop) -> Self:
        """Raises InvalidInput for an unknown key or value, NoSuchContainer for `before` and `since` of nothing."""
        tests = {key: [_test(key, value, shop) for value in values] for key, values in by_key(texts, KEYS).items()}
        return cls(tests, bool({"status", "exited"} & tests.keys()))

    def accept(self, container: Container, status: Status) -> bool:
        """Whether every key holds."""
        for key, tests in self._tests.items():
            results = (test(container, status) for test in tests)
            if not (all(results) if key in ALL_MUST_HOLD else any(results)):
                return False
        return True


def _test(key: str, value: str, shop: Workshop) -> Test:
    if key in ("before", "since"):
        return _by_time(key, value, shop)
    if key == "ancestor":
        return _by_ancestor(value, shop)
    if key == "status":
        if value not in STATES:
            raise InvalidInput(f"invalid filter 'status={value}'", f"the states are {', '.join(STATES)}")
        return lambda container, status: status.state == value
    if key == "exited":
        if not value.isdecimal():
            raise InvalidInput(f"invalid filter 'exited={value}'", "write an exit code")
        return lambda container, status: status.state == "exited" and status.exit_code == int(value)
    if key == "name":
        return _by_name(value)
    if key == "label":
        return lambda container, status: has_label(container, value)
    if key == "health":
        return _by_health(value, shop)
    if key == "is-task":
        return lambda container, status: value in ("false", "0")
    if key == "network":
        return _by_network(value, shop)
    if key in ("publish", "expose"):
        return _by_port(key, value, shop)
    simple: dict[str, Test] = {
        "id": lambda container, status: container.id.startswith(value),
        "volume": lambda container, status: value in _places(container),
    }  # fmt: skip
    return simple[key]


def _by_name(value: str) -> Test:
    import re

    try:
        pattern = re.compile(value.removeprefix("/") if not value.startswith("^/") else "^" + value[2:])
    except re.error as error:
        raise InvalidInput(f"invalid filter 'name={value}': {error}", "write a regular expression") from error
    return lambda container, status: bool(pattern.search(container.name))


def _by_health(value: str, shop: Workshop) -> Test:
    from cli.ps_listing import health_of

    if value not in HEALTH:
        raise InvalidInput(f"invalid filter 'health={value}'", f"write one of {', '.join(HEALTH)}")
    return lambda container, status: health_of(shop, container, status) == value


def _by_network(value: str, shop: Workshop) -> Test:
    from runtime.attached import Attached

    attached = Attached(shop.store.root)
    network = attached.network(value)
    names = {value, network.name if network else value}
    return lambda container, status: bool(names & set(attached.names(container)))


def _by_port(key: str, value: str, shop: Workshop) -> Test:
    """`80`, `80/udp`, `8000-8010`: a port of the container's."""
    from network.ports import exposed
    from runtime.attached import Attached, all_exposed

    attached, wanted = Attached(shop.store.root), set(exposed(value))
    if key == "expose":
        return lambda container, status: bool(wanted & set(all_exposed(container)))
    return lambda container, status: any(
        (number, port.protocol) in wanted
        for port in attached.ports(container)
        for number in (port.container_port, port.host_port)
    )


def _by_time(key: str, value: str, shop: Workshop) -> Test:
    pivot = parse_instant(shop.containers.find(value).created)
    if key == "before":
        return lambda container, status: parse_instant(container.created) < pivot
    return lambda container, status: parse_instant(container.created) > pivot


def _by_ancestor(value: str, shop: Workshop) -> Test:
    from core.errors import LamellaError

    try:
        image = str(shop.image(value).id)
    except LamellaError:
        return lambda container, status: container.image_name == value
    return lambda container, status: container.image == image or _descends(shop, container.image, image)


def _descends(shop: Workshop, image: str, ancestor: str) -> bool:
    from image.digest import Digest

    current = shop.store.images.get(Digest(image))
    while current and current.parent:
        if current.parent == ancestor:
            return True
        current = shop.store.images.get(current.parent)
    return False


def has_label(container: Container, value: str) -> bool:
    """Whether the container has the label `KEY` or `KEY=VALUE`."""
    key, equals, wanted = value.partition("=")
    return key in container.labels and (not equals or container.labels[key] == wanted)


def _places(container: Container) -> set[str]:
    return {place for mount in container.mounts for place in (mount.name, mount.source, mount.target) if place}
