"""`network inspect`, in Docker's shape."""

from __future__ import annotations

from typing import Any

from network.hub import Hub
from network.model import Endpoint, Network, Subnet


def describe(hub: Hub, network: Network) -> dict[str, Any]:
    """Everything about the network."""
    endpoints = hub.networks.endpoints(network)
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": network.scope,
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": network.ipam,
            "Options": dict(network.ipam_options),
            "Config": [_subnet(subnet) for subnet in network.subnets],
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {endpoint.container: _endpoint(endpoint) for endpoint in endpoints},
        "Options": dict(network.options),
        "Labels": dict(network.labels),
    }


def _subnet(subnet: Subnet) -> dict[str, Any]:
    described: dict[str, Any] = {"Subnet": subnet.network}
    if subnet.ip_range:
        described["IPRange"] = subnet.ip_range
    if subnet.gateway:
        described["Gateway"] = subnet.gateway
    if subnet.reserved:
        described["AuxiliaryAddresses"] = dict(subnet.reserved)
    return described


def _endpoint(endpoint: Endpoint) -> dict[str, str]:
    return {
        "Name": endpoint.names[0] if endpoint.names else "",
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": next((one for one in endpoint.addresses if ":" not in one), ""),
        "IPv6Address": next((one for one in endpoint.addresses if ":" in one), ""),
    }
