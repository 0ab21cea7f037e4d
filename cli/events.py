"""`lamella events`, also `lamella system events`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.settings import Settings

if TYPE_CHECKING:
    from store.events import Event


@click.command(short_help="Show what happens to containers, images, networks and volumes")
@click.option("--since", metavar="TIME", help="Also what is past, from then on: an instant, or a span such as 10m.")
@click.option("--until", metavar="TIME", help="Only until then, and end.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Such as type=container, event=die, container=web.",
)
@click.option("--format", "template", metavar="TEMPLATE", help="json, or a Go template such as '{{.Action}}'.")
@click.pass_obj
def events(
    settings: Settings, since: str | None, until: str | None, filters: tuple[str, ...], template: str | None
) -> None:  # fmt: skip
    """Show what happens to containers, images, networks and volumes, as it happens.

    \b
    Examples:
      lamella events
      lamella events --since 1h --until 0s --filter type=container --format json
      lamella events -f event=die -f container=web
    """
    from cli.event_filters import event_filter
    from cli.logs import instant
    from cli.output import write
    from cli.wiring import open_store
    from store.events import follow

    accept = event_filter(filters)
    first, last = (instant(text) if text else None for text in (since, until))
    open_store(settings).close()  # so that there is one
    show = _template(template)
    for event in follow(settings.root, past=first is not None, until=last):
        if event is None:
            flush()
        elif event.time >= (first or 0) and (last is None or event.time <= last) and accept(event):
            write(show(event) + "\n")


def flush() -> None:
    """What is shown is seen at once."""
    import sys

    sys.stdout.flush()


def _template(text: str | None) -> Any:
    if not text:
        return line
    from cli.output import render

    return lambda event: render("{{json .}}" if text == "json" else text, fields(event))


def line(event: Event) -> str:
    """As Docker prints it."""
    import time

    seconds, rest = divmod(event.time, 10**9)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{rest:09d}{f'{zone[:3]}:{zone[3:]}' if int(zone) else 'Z'}"
    told = ", ".join(f"{name}={value}" for name, value in sorted(event.attributes.items()))
    return f"{stamp} {event.kind} {event.action} {event.id}" + (f" ({told})" if told else "")


def fields(event: Event) -> dict[str, Any]:
    """What a template and `json` see: Docker's names, those of old clients among them."""
    old: dict[str, Any] = {}
    if event.kind in ("container", "image"):
        old = {"status": event.action, "id": event.id}
        if event.kind == "container":
            old["from"] = event.attributes.get("image", "")
    named = {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": dict(event.attributes)},
    }
    return {**old, **named, "scope": "local", "time": event.time // 10**9, "timeNano": event.time}
