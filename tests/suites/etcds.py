"""An etcd of our own, in a directory of the test's, that can be stopped and started."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import free_port


class OwnEtcd:
    """Listens on `address`, where `inside` (a command to put in front) leads; a context manager."""

    def __init__(
        self, directory: Path, address: str = "127.0.0.1", inside: Sequence[str] = (), certificates: Sequence[Path] = ()
    ) -> None:
        """`certificates`: the authority's, and the server's own with its key; then it speaks TLS."""
        self._directory = directory
        self._inside = list(inside)
        self._certificates = list(map(str, certificates))
        self.url, self._peer = (f"http://{address}:{port}" for port in (free_port(), free_port()))
        if certificates:
            self.url = self.url.replace("http:", "https:")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers."""
        command = [
            *self._inside, "etcd", "--name", "own", "--data-dir", str(self._directory / "etcd"), "--unsafe-no-fsync",
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url, "--listen-peer-urls", self._peer,
            "--initial-advertise-peer-urls", self._peer, "--initial-cluster", f"own={self._peer}", "--logger", "zap",
        ]  # fmt: skip
        if self._certificates:
            command += ["--cert-file", self._certificates[1], "--key-file", self._certificates[1]]
        with (self._directory / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < end, (self._directory / "etcd.log").read_text()[-2000:]
            time.sleep(0.1)

    def _answers(self) -> bool:
        return '"true"' in self._curl("-m", "2", f"{self.url}/health")

    def _curl(self, *words: str) -> str:
        trusted = ["--cacert", self._certificates[0]] if self._certificates else []
        command = [*self._inside, "curl", "-sf", *trusted, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def keys(self) -> list[str]:
        """All that there are."""
        everything = json.dumps({"key": "AA==", "range_end": "AA==", "keys_only": True})
        said = json.loads(self._curl("-m", "10", "-d", everything, f"{self.url}/v3/kv/range"))
        return [base64.b64decode(one["key"]).decode() for one in said.get("kvs", [])]

    def stop(self) -> None:
        """Harmless to repeat."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def __enter__(self) -> OwnEtcd:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
