"""`lamella registry`: serve images to others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.main import LazyGroup

if TYPE_CHECKING:
    from cli.settings import Settings
    from registry.server.listen import Address
    from registry.server.policy import Policy


TABLE = {
    "serve": ("cli.registry:serve", "Run a registry in the foreground"),
    "gc": ("cli.registry_gc:gc", "Give space back, or say why a registry's content stays"),
}


@click.group(cls=LazyGroup, table=TABLE)
def registry() -> None:
    """Serve images to others."""


@click.command(short_help="Run a registry in the foreground")
@click.option(
    "--listen",
    default="127.0.0.1:5000",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes a free one.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the registry keeps its images.  [default: ROOT/registry]",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    metavar="N",
    help="Processes that share the work.",
)
@click.option(
    "--allow-anyone", is_flag=True, help="Listen beyond this machine, where anybody may then push and delete."
)
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE",
    help="What to keep, limit and fix.  [default: registry.toml in DIR, where there is one]",
)  # fmt: skip
@click.option("--gc-delay", metavar="TIME", help="How long deleted and untagged content stays.  [default: 1h]")
@click.option("--gc-interval", metavar="TIME", help="How often to look for what may go.  [default: 1m]")
@click.option("--quota", metavar="SIZE", help="Bytes that all images together may use, such as 50GB.")
@click.pass_obj
def serve(
    settings: Settings, listen: str, data: Path | None, workers: int, allow_anyone: bool, config: Path | None,
    gc_delay: str | None, gc_interval: str | None, quota: str | None,
) -> None:  # fmt: skip
    """Run a registry until it is stopped by Ctrl-C or SIGTERM.

    Content that nothing names any more goes by itself after a while; `lamella registry gc --dry-run` says what and why.

    There is no access control yet: whoever reaches the address may push, pull and delete. So it listens on this
    machine alone unless told otherwise.

    \b
    Examples:
      lamella registry serve
      lamella registry serve --listen 127.0.0.1:5001 --data /srv/registry
      lamella push localhost:5000/team/app:1.0
    """
    from registry.server.listen import Address
    from registry.server.serve import ServerSettings
    from registry.server.serve import serve as run

    address = Address.parse(listen)
    if not address.loopback and not allow_anyone:
        from core.errors import InvalidInput

        raise InvalidInput(
            f"{address} can be reached from other machines, and there is no access control yet",
            "listen on 127.0.0.1, or say --allow-anyone if everybody there may push and delete",
        )
    place = (data or settings.root / "registry").absolute()
    policy = _policy(place, config, gc_delay, gc_interval, quota)
    run(ServerSettings(address, place, workers, settings.sync, policy), lambda ready: _say_ready(ready, place))
    # Everything is closed. granian's threads may still be ending: they must not meet an interpreter being taken down.
    os._exit(0)


def _policy(data: Path, config: Path | None, delay: str | None, interval: str | None, quota: str | None) -> Policy:
    """The file's rules, and what the flags say instead."""
    from cli.registry_config import as_duration, as_seconds, as_size, read_policy
    from core.value import replace

    policy = read_policy(data, config)
    changes: dict[str, object] = {}
    if delay is not None:
        changes["delay"] = as_duration(delay, "--gc-delay")
    if interval is not None:
        changes["interval"] = max(0.01, as_seconds(interval, "--gc-interval"))
    if quota is not None:
        changes["quota"] = as_size(quota, "--quota")
    return replace(policy, **changes)


def _say_ready(address: Address, data: Path) -> None:
    click.echo(f"lamella registry: serving http://{address} from {data}", err=True)
