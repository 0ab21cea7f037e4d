"""A registry in a process of its own, and a plain HTTP client that shows everything it answers."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error code in the body."""
        return str(json.loads(self.body)["errors"][0]["code"])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """`lamella registry serve` on a free port, until `stop` or `kill`. `start` begins again on the same data and port."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data, self.options, self.port = data, options, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "lamella", "registry", "serve", "--listen", f"127.0.0.1:{self.port}", "--data", str(self.data)]  # fmt: skip
        self.process = subprocess.Popen([*command, *self.options], stderr=subprocess.PIPE, cwd=ROOT, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "serving http://127.0.0.1:" in line, line + self.process.stderr.read()
        self.port = int(line.split("http://127.0.0.1:")[1].split()[0])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end; its exit code. Harmless to repeat."""
        self.process.send_signal(number)
        code = self.process.wait(10)
        if self.process.stderr is not None and not self.process.stderr.closed:
            self.said = self.process.stderr.read()
            self.process.stderr.close()
        return code

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Got:
        """One request on a connection of its own; `content_type` becomes Content-Type."""
        connection = self.connect()
        try:
            connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
            response = connection.getresponse()
            return Got(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def upload(self, name: str) -> str:
        """Open an upload; its location."""
        got = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert got.status == 202, got
        return got.headers["location"]

    def blob(self, name: str, data: bytes) -> str:
        """Push a blob; its digest."""
        got = self.ask("PUT", f"{self.upload(name)}?digest={sha256(data)}", data)
        assert got.status == 201, got
        return sha256(data)

    def image(self, name: str, tag: str, *layers: bytes, **fields: object) -> bytes:
        """Push an image of these layers; the manifest's bytes."""
        config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
        raw = manifest(config, layers, **fields)
        for data in (config, *layers):
            self.blob(name, data)
        got = self.ask("PUT", f"/v2/{name}/manifests/{tag}", raw, content_type=OCI_MANIFEST)
        assert got.status == 201, got
        return raw


def manifest(config: bytes = b"{}", layers: tuple[bytes, ...] = (), **fields: object) -> bytes:
    """A manifest that nobody would write like that: its bytes must be kept."""
    data = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER, "digest": sha256(data), "size": len(data)} for data in layers],
        **fields,
    }
    return json.dumps(data, indent=3).encode() + b"\n "
