"""`lamella network create`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from cli.completion import complete_ipam_drivers, complete_network_drivers
from cli.spelling import DockerCommand

if TYPE_CHECKING:
    from cli.settings import Settings
    from network.model import Subnet


@click.command(cls=DockerCommand, short_help="Create a network")
@click.argument("name")
@click.option(
    "-d", "--driver", default="bridge", metavar="DRIVER", shell_complete=complete_network_drivers,
    help="Who lays the wires: bridge, macvlan, or the name of a plug-in.  [default: bridge]",
)  # fmt: skip
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="A range of addresses, such as 10.9.0.0/16.")
@click.option("--gateway", "gateways", multiple=True, metavar="ADDRESS", help="The host's address in a subnet.")
@click.option(
    "--ip-range", "ranges", multiple=True, metavar="CIDR", help="Give containers addresses of this part alone."
)
@click.option("--aux-address", "reserved", multiple=True, metavar="NAME=ADDRESS", help="An address never to give away.")
@click.option("--internal", is_flag=True, help="No way out, and none in.")
@click.option("--attachable", is_flag=True, help="Containers may connect by hand (for networks of several hosts).")
@click.option("--ipv6", is_flag=True, help="Also IPv6 addresses.")
@click.option("-o", "--opt", "options", multiple=True, metavar="NAME=VALUE", help="An option of the driver.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label the network.")
@click.option(
    "--ipam-driver", default="default", metavar="DRIVER", shell_complete=complete_ipam_drivers,
    help="Who gives addresses out: lamella itself, or the name of a plug-in.",
)  # fmt: skip
@click.option("--ipam-opt", "ipam_options", multiple=True, metavar="NAME=VALUE", help="An option of the IPAM driver.")
@click.option("--scope", hidden=True)
@click.pass_obj
def create(
    settings: Settings, name: str, driver: str, subnets: tuple[str, ...], gateways: tuple[str, ...], ranges: tuple[str, ...],
    reserved: tuple[str, ...], internal: bool, attachable: bool, ipv6: bool, options: tuple[str, ...], labels: tuple[str, ...],
    ipam_driver: str, ipam_options: tuple[str, ...], scope: str | None,
) -> None:  # fmt: skip
    """Create a network, and print its ID. Containers on it find each other by name.

    \b
    Examples:
      lamella network create app
      lamella network create --subnet 10.9.0.0/16 --gateway 10.9.0.1 --ip-range 10.9.4.0/24 lab
      lamella network create --internal vault
      lamella network create -d macvlan -o parent=eth0.50 --subnet 10.50.0.0/24 --gateway 10.50.0.1 lan
      lamella network create -d weaver -o colour=red lab
      lamella network create --ipam-driver ledger --ipam-opt floor=2 lab
    """
    from cli.wiring import open_hub
    from network.model import Network

    wanted = Network(
        "", name, driver, "", subnets_of(subnets, gateways, ranges, reserved), internal, attachable, ipv6,
        dict(map(pair, options)), dict(map(label, labels)), ipam_driver, dict(map(pair, ipam_options)),
    )  # fmt: skip
    with open_hub(settings) as hub:
        click.echo(hub.create(wanted).id)


def pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE` as both."""
    name, _, value = text.partition("=")
    return name, value


def label(text: str) -> tuple[str, str]:
    """The same of a label. Raises InvalidInput for one without a name."""
    from core.errors import InvalidInput

    if text.startswith("="):
        raise InvalidInput(f"invalid label {text!r}: empty name", "write it as NAME=VALUE")
    return pair(text)


def subnets_of(
    subnets: Iterable[str], gateways: Iterable[str], ranges: Iterable[str], reserved: Iterable[str]
) -> tuple[Subnet, ...]:
    """Each subnet with the gateway, range and reserved addresses that lie in it. Raises InvalidInput for what lies in none."""
    from core.errors import InvalidInput
    from core.value import replace
    from network.ipam import parse_address, parse_range, touches
    from network.model import Subnet

    subnets, gateways, ranges = tuple(subnets), tuple(gateways), tuple(ranges)
    found = [(parse_range(text, "subnet"), Subnet(text)) for text in subnets]
    if max(len(gateways), len(ranges)) > len(subnets):
        raise InvalidInput("every ip-range or gateway must have a corresponding subnet", "give its --subnet too")
    for number, (one, _) in enumerate(found):
        if touches(one, [other for other, _ in found[:number]]):
            raise InvalidInput("multiple overlapping subnet configuration is not supported", "give each its own range")

    def place(text: str, address: str, what: str, change: str) -> None:
        value = parse_range(address, "ip-range").network_address if change == "ip_range" else parse_address(address)
        for number, (network, subnet) in enumerate(found):
            if value in network:
                if change != "reserved" and getattr(subnet, change):
                    raise InvalidInput(
                        f"cannot configure multiple {what}s ({getattr(subnet, change)}, {text}) on the same subnet"
                    )
                new = {**subnet.reserved, text.partition("=")[0]: address} if change == "reserved" else address
                found[number] = (network, replace(subnet, **{change: new}))
                return
        raise InvalidInput(f"no matching subnet for {what} {address}", "give its --subnet too")

    for text in gateways:
        place(text, text, "gateway", "gateway")
    for text in ranges:
        place(text, text, "range", "ip_range")
    for text in reserved:
        if "=" not in text:
            raise InvalidInput("no matching subnet for aux-address", f"write {text!r} as NAME=ADDRESS")
        place(text, text.partition("=")[2], "aux-address", "reserved")
    return tuple(subnet for _, subnet in found)
