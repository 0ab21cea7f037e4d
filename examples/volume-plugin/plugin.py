#!/usr/bin/env python3
"""A volume plug-in in one file: its volumes are directories below DIRECTORY.

    python3 plugin.py NAME DIRECTORY

Then `lamella volume create -d NAME data`, `lamella run -v data:/srv …`, `lamella volume ls`. It speaks Docker's plug-in protocol,
so docker can use it too. Run it as root: it listens at /run/docker/plugins/NAME.sock.
"""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

SOCKETS = Path("/run/docker/plugins")


class Volumes:
    """What the plug-in does, a method for each of the protocol's; an exception is told to whoever asked."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def place(self, body: dict[str, Any]) -> Path:
        name = body["Name"]
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"{name!r} is no name for a volume")
        return self.top / name

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.place(body).mkdir(parents=True, exist_ok=True)
        return {}

    def remove(self, body: dict[str, Any]) -> dict[str, Any]:
        shutil.rmtree(self.place(body))
        return {}

    def mount(self, body: dict[str, Any]) -> dict[str, Any]:
        """`ID` is whoever is about to use it: the same is told to `unmount`."""
        return {"Mountpoint": str(self.place(body))}

    def unmount(self, body: dict[str, Any]) -> dict[str, Any]:
        return {}

    def path(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"Mountpoint": str(self.place(body))}

    def get(self, body: dict[str, Any]) -> dict[str, Any]:
        place = self.place(body)
        if not place.is_dir():
            raise FileNotFoundError(f"no such volume: {body['Name']}")
        return {"Volume": {"Name": place.name, "Mountpoint": str(place), "Status": {"files": len(os.listdir(place))}}}

    def list(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"Volumes": [{"Name": one.name, "Mountpoint": str(one)} for one in sorted(self.top.iterdir())]}

    def capabilities(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"Capabilities": {"Scope": "local"}}


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    volumes: Volumes


class Handler(BaseHTTPRequestHandler):
    server: Server

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
            return {"Implements": ["VolumeDriver"]}
        kind, _, verb = method.partition(".")
        work = getattr(self.server.volumes, verb.lower(), None) if kind == "VolumeDriver" else None
        if work is None or verb.lower() == "place":
            return None
        try:
            found: dict[str, Any] = work(body)
            return found
        except (OSError, ValueError, KeyError) as error:
            return {"Err": str(error)}

    def address_string(self) -> str:
        return "unix"


def main() -> None:
    name, directory = sys.argv[1], Path(sys.argv[2]).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    SOCKETS.mkdir(parents=True, exist_ok=True)
    path = SOCKETS / f"{name}.sock"
    path.unlink(missing_ok=True)
    server = Server(str(path), Handler)
    server.volumes = Volumes(directory)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
