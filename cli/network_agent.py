"""`lamella network agent`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cli.settings import Settings


@click.command(short_help="Be this host's agent for overlay networks")
@click.pass_obj
def agent(settings: Settings) -> None:
    """Be this host's agent for overlay networks, in the foreground, until no container is on one.

    Nobody needs to call it: the first container that comes onto an overlay network starts one. It renews the host's lease in
    etcd, follows what other hosts write, and tells the kernel and the name service where their containers are.

    \b
    Example:
      lamella network agent
    """
    from cli.wiring import open_store
    from runtime.overlaying import serve
    from runtime.state import state_directory

    open_store(settings).close()
    serve(settings.root, state_directory(settings.root), lambda: None)
