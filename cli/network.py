"""`lamella network`."""

from __future__ import annotations

import click

from cli.main import LazyGroup

TABLE = {
    "create": ("cli.network_create:create", "Create a network"),
    "ls": ("cli.network_ls:ls", "List networks"),
    "inspect": ("cli.network_inspect:inspect", "Show everything about networks"),
    "connect": ("cli.network_connect:connect", "Connect a container to a network"),
    "disconnect": ("cli.network_connect:disconnect", "Take a container off a network"),
    "rm": ("cli.network_rm:rm", "Remove networks"),
    "cluster": ("cli.network_cluster:cluster", "Tell this host which etcd it shares overlay networks by"),
    "agent": ("cli.network_agent:agent", "Be this host's agent for overlay networks"),
    "prune": ("cli.network_rm:prune", "Remove all networks that no container is on"),
}
HIDDEN = {"list": TABLE["ls"], "remove": TABLE["rm"]}


@click.group(cls=LazyGroup, table=TABLE, hidden=HIDDEN, short_help="Manage networks")
def network() -> None:
    """Manage networks.

    \b
    Examples:
      lamella network create app
      lamella run -d --name db --network app db:1
      lamella run --rm --network app web:1 curl http://db/
      lamella network cluster --etcd http://10.0.0.1:2379
      lamella network create -d overlay --attachable everywhere
    """
