"""`lamella logs`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from cli.completion import complete_containers
from cli.settings import Settings
from core.errors import InvalidInput, Unsupported

if TYPE_CHECKING:
    from runtime.logs import Line


@click.command(short_help="Show what a container has written")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_containers)
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option("-n", "--tail", default="all", metavar="N", help="Only the last N lines.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
@click.option("--since", metavar="TIME", help="Only what is younger: an instant, or a span such as 10m.")
@click.option("--until", metavar="TIME", help="Only what is older.")
@click.option("--details", "detailed", is_flag=True, help="Show what --log-opt labels=… and env=… add.")
@click.pass_obj
def logs(
    settings: Settings, name: str, follow: bool, tail: str, timestamps: bool, since: str | None, until: str | None,
    detailed: bool,
) -> None:  # fmt: skip
    """Show what a container has written, each stream where it belongs.

    \b
    Examples:
      lamella logs --tail 20 web
      lamella logs -f --since 5m web
    """
    from cli.containers import Workshop
    from core.clock import parse_instant
    from runtime import logs as written

    after, before = (instant(text) if text else None for text in (since, until))
    with Workshop(settings) as shop:
        container = shop.containers.find(name)
        if container.logging and container.logging.driver == "none":
            raise Unsupported("configured logging driver does not support reading", "run it without --log-driver none")
        more = f"{written.details(container)} " if detailed else ""
        source = (
            written.follow(shop.containers, container.id, tail=_count(tail), until=before)
            if follow
            else written.read(shop.containers.directory(container), tail=_count(tail))
        )
        whole = {"stdout": True, "stderr": True}
        for line in source:
            moment = parse_instant(line.time) if after is not None or before is not None else 0
            if after is not None and moment < after:
                continue
            if before is not None and moment > before:
                break
            stamp = f"{written.in_utc(line.time)} " if timestamps else ""
            _show(line, stamp + more if whole[line.stream] else "", flush=follow)
            whole[line.stream] = line.text.endswith(b"\n")


def _show(line: Line, before: str, *, flush: bool) -> None:
    file = (sys.stdout if line.stream == "stdout" else sys.stderr).buffer
    file.write(before.encode() + line.text)
    if flush or file is sys.stderr.buffer:
        file.flush()


def _count(text: str) -> int | None:
    """None is all. Docker takes what is no number as all, too; a typing error deserves better."""
    if text in ("all", "-1"):
        return None
    if text.isdecimal():
        return int(text)
    raise InvalidInput(f"invalid --tail: {text!r}", "write a number, or all")


def instant(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 instant, a Unix time, or a span back from now. Raises InvalidInput."""
    from core.clock import parse_instant
    from core.units import parse_duration

    try:
        return int(float(text) * 10**9)
    except ValueError:
        pass
    if text[:4].isdecimal() and "-" in text:
        return parse_instant(text if "T" in text else f"{text}T00:00:00")
    return time.time_ns() - parse_duration(text)
