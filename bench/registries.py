"""The registries that are compared, started on loopback over a directory of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.peers import ROOT, first_line, installed
from bench.zb import CONFIG, Client, content, manifest, sha256


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Registry:
    """A server process; `address` is HOST:PORT once it has started."""

    name = ""
    takes_pushes = True

    def __init__(self, work: Path) -> None:
        self.work = work / f"registry-{self.name}"
        self.address = ""
        self.process: subprocess.Popen[bytes] | None = None

    def available(self) -> bool:
        return True

    def version(self) -> str:
        return first_line(sys.executable, "-m", "lamella", "version")

    def words(self) -> list[str]:
        program = Path(sys.executable).with_name("lamella")
        return [str(program), "registry", "serve", "--listen", self.address, "--data", str(self.work / "data")]

    def start(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        self.address = self.address or f"127.0.0.1:{free_port()}"
        with (self.work / "log").open("wb") as log:
            self.process = subprocess.Popen(self.words(), stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not answer: {(self.work / 'log').read_text()[-500:]}")

    def hold(self, name: str, size: int) -> None:
        """Have the image of zb whose layer has `size` bytes in the repository `name`."""
        Client(self.address).push(name, size)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(20)

    def empty(self) -> None:
        """Start again with nothing in it, at the same address."""
        self.stop()
        shutil.rmtree(self.work)
        self.start()


class LamellaRegistry(Registry):
    name = "lamella"


class DockerRegistry(Registry):
    name = "docker-registry"

    def available(self) -> bool:
        return installed("docker-registry")

    def version(self) -> str:
        return first_line("docker-registry", "--version")

    def words(self) -> list[str]:
        config = self.work / "config.yml"
        config.write_text(
            "version: 0.1\nlog: {accesslog: {disabled: true}, level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.work}/data}}, cache: {{blobdescriptor: inmemory}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.address}'}}\n"
        )
        return ["docker-registry", "serve", str(config)]


class Distribution(DockerRegistry):
    """distribution v3, built once by Go below .venv."""

    name = "distribution-v3"
    module = "github.com/distribution/distribution/v3/cmd/registry@v3.0.0"
    program = ROOT / ".venv/go/bin/registry"

    def available(self) -> bool:
        if not self.program.exists() and installed("go"):
            env = {**os.environ, "GOPATH": str(self.program.parents[1]), "GOFLAGS": "-modcacherw"}
            subprocess.run(["go", "install", self.module], env=env, capture_output=True)
        return self.program.exists()

    def version(self) -> str:
        return self.module.rpartition("@")[2]

    def words(self) -> list[str]:
        return [str(self.program), *super().words()[1:]]


class Nginx(Registry):
    """No registry: the same bytes as files, which is as fast as anybody answers."""

    name = "nginx"
    takes_pushes = False

    def available(self) -> bool:
        return installed("nginx")

    def version(self) -> str:
        return first_line("/usr/sbin/nginx", "-v").partition("/")[2]

    def words(self) -> list[str]:
        config = self.work / "nginx.conf"
        places = "".join(
            f"{kind}_temp_path {self.work}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config.write_text(
            f"worker_processes auto; daemon off; user root; pid {self.work}/pid; events {{ worker_connections 1024; }}\n"
            f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; {places}\n"
            f"server {{ listen {self.address}; root {self.work}/data; location = /v2/ {{ return 200; }} }} }}\n"
        )
        return ["/usr/sbin/nginx", "-c", str(config), "-e", str(self.work / "errors")]

    def hold(self, name: str, size: int) -> None:
        raw, digest = manifest(size)
        self.keep(f"{name}/manifests/latest", raw)
        self.keep(f"{name}/blobs/{digest}", content(size))
        self.keep(f"{name}/blobs/{sha256(CONFIG)}", CONFIG)

    def keep(self, path: str, data: bytes | bytearray) -> None:
        """A file that is served below /v2/."""
        place = self.work / "data/v2" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


REGISTRIES: list[type[Registry]] = [LamellaRegistry, DockerRegistry]
