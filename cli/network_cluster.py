"""`lamella network cluster`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from network.hub import Hub
    from network.overlay.settings import Cluster


@click.command(short_help="Tell this host which etcd it shares overlay networks by")
@click.option(
    "--etcd",
    "urls",
    multiple=True,
    metavar="URL",
    help="A server of etcd, such as http://10.0.0.1:2379; may be repeated.",
)
@click.option(
    "--address",
    default="",
    metavar="ADDRESS|INTERFACE",
    help="Where other hosts reach this one.  [default: from where it reaches etcd]",
)
@click.option(
    "--lease",
    "seconds",
    type=click.IntRange(2, 3600),
    metavar="SECONDS",
    help="A host that says nothing for so long is dead.  [default: 30]",
)
@click.option("--ca", default="", metavar="FILE", help="Certificates that etcd's is checked against.")
@click.option("--cert", default="", metavar="FILE", help="This host's own certificate.")
@click.option("--key", default="", metavar="FILE", help="The key of --cert.")
@click.option("--user", default="", metavar="NAME", help="Who this host is to etcd.")
@click.option("--password-stdin", is_flag=True, help="Take the user's password from stdin.")
@click.option("--leave", is_flag=True, help="Share no networks any more.")
@click.option("--format", "template", metavar="TEMPLATE", help="json, or a Go template.")
@click.pass_obj
def cluster(
    settings: Settings, urls: tuple[str, ...], address: str, seconds: int | None, ca: str, cert: str, key: str, user: str,
    password_stdin: bool, leave: bool, template: str | None,
) -> None:  # fmt: skip
    """Tell this host which etcd it shares overlay networks by, once; without --etcd, show what it was told.

    Every host that is told the same etcd sees the same overlay networks. etcd itself must be there: Debian's package is etcd-server.

    \b
    Examples:
      lamella network cluster --etcd http://10.0.0.1:2379
      lamella network cluster --etcd https://10.0.0.1:2379 --address wg0 --ca ca.pem --user lamella --password-stdin < secret
    """
    from cli.wiring import open_store
    from network.overlay import settings as kept

    open_store(settings).close()
    if leave:
        _leave(settings)
    elif urls:
        password = sys.stdin.readline().rstrip("\n") if password_stdin else ""
        _join(settings, _told(settings, urls, address, seconds, (ca, cert, key, user, password)))
    else:
        _show(kept.require(settings.root), template)


def _told(
    settings: Settings, urls: tuple[str, ...], address: str, seconds: int | None, who: tuple[str, ...]
) -> Cluster:
    import os

    from network.overlay import settings as kept

    before = kept.read(settings.root)
    checked = kept.check_urls(urls)
    ca, cert, key = (os.path.abspath(file) if file else "" for file in who[:3])
    return kept.Cluster(
        checked, kept.underlay_of(address, checked), before.id if before else os.urandom(16).hex(),
        seconds or kept.DEFAULT_SECONDS, ca, cert, key, *who[3:],
    )  # fmt: skip


def _join(settings: Settings, told: Cluster) -> None:
    """Written only when etcd has answered."""
    from network.overlay import settings as kept
    from network.overlay.allocation import shared
    from network.overlay.etcd import Etcd

    _check_unused(settings)
    with Etcd(told) as etcd:
        shared(etcd)
    kept.write(settings.root, told)


def _leave(settings: Settings) -> None:
    from cli.wiring import open_hub
    from network.overlay import settings as kept
    from network.overlay.records import DRIVER

    _check_unused(settings)
    with open_hub(settings) as hub, hub.locked():
        for network in hub.networks.all():
            if network.driver == DRIVER:
                hub.driver(network).clear(network)
                hub.networks.delete(network)
        kept.forget(settings.root)


def _check_unused(settings: Settings) -> None:
    from core.errors import Conflict
    from core.locks import is_locked
    from network.overlay import ALIVE
    from runtime.state import state_directory

    if is_locked(state_directory(settings.root) / ALIVE):
        raise Conflict(
            "containers of this host are on overlay networks, or were a moment ago",
            "stop them, and wait until `lamella network agent` has ended",
        )


def _show(told: Cluster, template: str | None) -> None:
    from cli.output import print_rows

    row: dict[str, Any] = {
        "Etcd": ",".join(told.endpoints), "Address": told.underlay, "Lease": str(told.seconds), "ID": told.id, "User": told.user,
    }  # fmt: skip
    headings = {"Etcd": "ETCD", "Address": "ADDRESS", "Lease": "LEASE", "ID": "HOST ID", "User": "USER"}
    print_rows([row], headings, ("Etcd", "Address", "Lease"), template)


def refreshed(hub: Hub, *, warn: bool) -> None:
    """Let the catalog know the overlay networks of all hosts; while etcd is away, those last seen are what there is."""
    from core.errors import Unavailable
    from runtime.overlaying import refresh

    try:
        refresh(hub.networks.root, hub.networks)
    except Unavailable as error:
        if warn:
            sys.stderr.write(f"WARNING: {error.message}; overlay networks are as last seen\n")
