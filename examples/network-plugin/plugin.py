#!/usr/bin/env python3
"""A network plug-in in one file: each network is a bridge of its own, and a container hangs on it by a pair of links.

    python3 plugin.py NAME

Then `lamella network create -d NAME -o mtu=1400 lab`, `lamella run --network lab …`. It speaks Docker's plug-in protocol, so docker
can use it too. Run it as root, on the host: it listens at /run/docker/plugins/NAME.sock. It keeps nothing: all that it
makes is named by the IDs that it is told, and says whose it is (`ip -d link`). There is no way out of its networks but what the host's own firewall and routes give.
"""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

SOCKETS = Path("/run/docker/plugins")
GENERIC = "com.docker.network.generic"  # where the options of `network create -o` are


class Networks:
    """What the plug-in does, a method for each of the protocol's; an exception is told to whoever asked."""

    def getcapabilities(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"Scope": "local"}

    def createnetwork(self, body: dict[str, Any]) -> dict[str, Any]:
        options = body["Options"].get(GENERIC) or {}
        if unknown := set(options) - {"mtu"}:
            raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
        mtu = int(options.get("mtu", 1500))
        bridge = named("np", body["NetworkID"])
        ip("link", "add", bridge, "mtu", mtu, "type", "bridge")
        for subnet in body["IPv4Data"] + body["IPv6Data"]:
            if subnet["Gateway"]:
                ip("addr", "add", subnet["Gateway"], "dev", bridge)
        ip("link", "set", bridge, "alias", sys.argv[1], "up")
        return {}

    def deletenetwork(self, body: dict[str, Any]) -> dict[str, Any]:
        ip("link", "del", named("np", body["NetworkID"]))
        return {}

    def createendpoint(self, body: dict[str, Any]) -> dict[str, Any]:
        """The addresses in `Interface` are lamella's choice; it gives them to the interface itself."""
        outer, inner, bridge = named("npo", body["EndpointID"]), inner_of(body), named("np", body["NetworkID"])
        mtu = details(bridge)["mtu"]
        ip("link", "add", outer, "mtu", mtu, "type", "veth", "peer", "name", inner, "mtu", mtu)
        ip("link", "set", outer, "master", bridge, "alias", sys.argv[1], "up")
        return {"Interface": {}}

    def endpointoperinfo(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"Value": {"host": named("npo", body["EndpointID"])}}

    def deleteendpoint(self, body: dict[str, Any]) -> dict[str, Any]:
        ip(
            "link", "del", named("npo", body["EndpointID"]), may_fail=True
        )  # it went with the container's network namespace
        return {}

    def join(self, body: dict[str, Any]) -> dict[str, Any]:
        found = {"Gateway": "", "GatewayIPv6": ""}
        for address in details(named("np", body["NetworkID"]))["addr_info"]:
            if address["scope"] == "global":
                found["Gateway" if address["family"] == "inet" else "GatewayIPv6"] = address["local"]
        return {"InterfaceName": {"SrcName": inner_of(body), "DstPrefix": "eth"}, **found}

    def leave(self, body: dict[str, Any]) -> dict[str, Any]:
        return {}


def named(kind: str, id: str) -> str:
    """A link's name, which has at most 15 bytes."""
    return f"{kind}{id[:11]}"


def inner_of(body: dict[str, Any]) -> str:
    """The end of the pair that will be the container's."""
    return named("npi", body["EndpointID"])


def ip(*words: object, may_fail: bool = False) -> str:
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise ValueError(done.stderr.strip())
    return done.stdout


def details(link: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ip("-j", "addr", "show", "dev", link))[0]
    return found


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = 200, self._answer(self.path.lstrip("/"), json.loads(raw) if raw else {})
        if answer is None:
            status, answer = 404, {"Err": f"{self.path}: no such method"}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self, method: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if method == "Plugin.Activate":
            return {"Implements": ["NetworkDriver"]}
        kind, _, verb = method.partition(".")
        work = getattr(Networks(), verb.lower(), None) if kind == "NetworkDriver" else None
        if work is None:
            return None
        try:
            found: dict[str, Any] = work(body)
            return found
        except (OSError, ValueError, KeyError, TypeError) as error:
            return {"Err": str(error)}

    def address_string(self) -> str:
        return "unix"


def main() -> None:
    path = SOCKETS / f"{sys.argv[1]}.sock"
    SOCKETS.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        Server(str(path), Handler).serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
