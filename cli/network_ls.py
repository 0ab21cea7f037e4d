"""`lamella network ls`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from network.hub import Hub
    from network.model import Network

    Test = Callable[[Network], bool]

HEADINGS = {
    "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
    "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
}  # fmt: skip
KEYS = ("dangling", "driver", "id", "label", "name", "scope", "type")


@click.command(short_help="List networks")
@click.option("-q", "--quiet", is_flag=True, help="Only IDs.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(KEYS)}.")
@click.option("--format", "template", metavar="TEMPLATE", help="json, or a Go template such as '{{.Name}}'.")
@click.option("--no-trunc", is_flag=True, help="Do not cut IDs short.")
@click.pass_obj
def ls(settings: Settings, quiet: bool, filters: tuple[str, ...], template: str | None, no_trunc: bool) -> None:
    """List networks.

    \b
    Examples:
      lamella network ls
      lamella network ls --filter type=custom --format '{{.Name}}: {{.Driver}}'
    """
    from cli.output import print_rows
    from cli.wiring import open_hub

    with open_hub(settings, shown=True) as hub:
        accept = network_filter(filters, hub)
        rows = [row(network, cut=not no_trunc) for network in hub.networks.all() if accept(network)]
    print_rows(rows, HEADINGS, ("ID", "Name", "Driver", "Scope"), template, quiet=quiet)


def row(network: Network, *, cut: bool) -> dict[str, Any]:
    """The fields of one network, by Docker's names."""
    from cli.output import labels_text

    return {
        "CreatedAt": network.created, "Driver": network.driver, "ID": network.id[:12] if cut else network.id, "IPv4": "true",
        "IPv6": str(network.ipv6).lower(), "Internal": str(network.internal).lower(),
        "Label": lambda key: network.labels.get(key, ""), "Labels": labels_text(network.labels), "Name": network.name,
        "Scope": network.scope,
    }  # fmt: skip


def network_filter(texts: Iterable[str], hub: Hub) -> Test:
    """What the filters together accept: values of one key are alternatives, but labels must all hold. Raises InvalidInput."""
    from cli.filter_pairs import by_key

    tests = {key: [_test(key, value, hub) for value in values] for key, values in by_key(texts, KEYS).items()}
    return lambda network: all(
        (all if key == "label" else any)(test(network) for test in group) for key, group in tests.items()
    )


def _test(key: str, value: str, hub: Hub) -> Test:
    from core.errors import InvalidInput

    if key == "type" and value not in ("custom", "builtin"):
        raise InvalidInput(f"invalid filter: 'type'='{value}'", "use custom or builtin")
    if key == "dangling" and value.lower() not in ("true", "1", "false", "0"):
        raise InvalidInput(
            'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")', "use true or false"
        )
    pattern = _pattern(value) if key == "name" else re.compile("")
    known: dict[str, Test] = {
        "driver": lambda network: network.driver == value,
        "id": lambda network: network.id.startswith(value),
        "label": lambda network: has_label(network, value),
        "name": lambda network: bool(pattern.search(network.name)),
        "scope": lambda network: network.scope == value,
        "type": lambda network: network.predefined == (value == "builtin"),
        "dangling": lambda network: (
            (not network.predefined and not hub.networks.endpoints(network)) == (value.lower() in ("true", "1"))
        ),
    }
    return known[key]


def _pattern(value: str) -> re.Pattern[str]:
    """Raises InvalidInput."""
    from core.errors import InvalidInput

    try:
        return re.compile(value)
    except re.error as error:
        raise InvalidInput(f"invalid filter 'name={value}': {error}", "write a regular expression") from error


def has_label(network: Network, value: str) -> bool:
    """Whether it has the label `KEY` or `KEY=VALUE`."""
    key, equals, wanted = value.partition("=")
    return key in network.labels and (not equals or network.labels[key] == wanted)
