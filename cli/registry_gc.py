"""`lamella registry gc`: give space back now, or say what would go and why the rest stays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from registry.server.collector import Collector
    from registry.server.explain import Fate

HEADINGS = {"Action": "ACTION", "Name": "NAME", "Size": "SIZE", "Why": "WHY"}


@click.command(short_help="Give space back, or say why a registry's content stays")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR",
    help="Where the registry keeps its images.  [default: ROOT/registry]",
)  # fmt: skip
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE",
    help="Its rules.  [default: registry.toml in DIR, where there is one]",
)  # fmt: skip
@click.option(
    "--delay", metavar="TIME", help="Take what has waited as long as this, such as 10m, whatever the rules say."
)
@click.option("--dry-run", is_flag=True, help="Only say of each tag and blob whether it would go, and why.")
@click.option("--format", "template", type=click.Choice(["json"]), help="Say it as JSON, an object a line.")
@click.pass_obj
def gc(
    settings: Settings, data: Path | None, config: Path | None, delay: str | None, dry_run: bool, template: str | None
) -> None:
    """Delete the tags that no retention rule keeps, and what nothing refers to any more.

    A running registry does the same by itself every minute. This may be run beside it: nobody has to wait, and nothing
    that a push is about to need is taken, as long as a push is done within the delay.

    \b
    Examples:
      lamella registry gc --dry-run
      lamella registry gc --data /srv/registry --delay 0
    """
    from cli.registry_config import as_duration, read_policy
    from core.errors import NotFound
    from core.value import replace
    from registry.server.collector import Collector
    from registry.server.data import DATABASE, open_data
    from registry.server.explain import blob_fates, tag_fates

    place = (data or settings.root / "registry").absolute()
    if not (place / DATABASE).exists():
        raise NotFound(f"there is no registry in {place}", "say where with --data")
    policy = read_policy(place, config)
    if delay is not None:
        wait = as_duration(delay, "--delay")
        policy = replace(policy, delay=wait, unreferenced=wait)
    metadata, blobs = open_data(place, sync=settings.sync)
    try:
        collector = Collector(metadata, blobs, policy, rest=1.0)  # a server beside it gets every second turn
        if dry_run:
            say_fates(tag_fates(collector), template)
            say_fates(blob_fates(collector, metadata, blobs, policy), template)
        else:
            _collect(collector, template)
    finally:
        metadata.close()


def _collect(collector: Collector, template: str | None) -> None:
    from core.units import human_size

    done = collector.retain()
    collector.adopt()
    done += collector.collect()
    if template:
        import json

        click.echo(json.dumps({"Tags": done.tags, "Entries": done.entries, "Blobs": done.blobs, "Bytes": done.bytes}))
        return
    click.echo(f"Deleted {done.tags} tags, {done.entries} manifests and blobs of repositories, {done.blobs} blobs.")
    click.echo(f"Total reclaimed space: {human_size(done.bytes, digits=4)}")


def say_fates(fates: Iterable[Fate], template: str | None) -> None:
    """A row for each; as JSON with bytes as a number."""
    from cli.output import print_rows
    from core.units import human_size

    rows = (
        {
            "Action": "keep" if one.stays else "delete", "Name": one.name, "Why": one.why,
            "Size": one.size if template else human_size(one.size) if one.size else "-",
        }
        for one in fates
    )  # fmt: skip
    print_rows(rows, HEADINGS, list(HEADINGS), template)
