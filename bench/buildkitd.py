"""A current buildkitd, where Go has built one (`scripts/buildkitd`): runc worker, host network, image output."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from bench.measure import Command
from bench.peers import Daemon, first_line, installed

BASES = ("base", "debian")  # what other contexts start FROM: exported as layouts, for want of a registry


def go_path() -> str:
    return f"{os.environ['PATH']}:{Path.home() / 'go/bin'}:/usr/local/go/bin"


def program(name: str) -> str | None:
    return shutil.which(name, path=go_path())


class BuildKitd(Daemon):
    name = "buildkitd"

    def available(self) -> bool:
        return bool(program("buildkitd") and program("buildctl")) and installed("runc")

    def version(self) -> str:
        return first_line(str(program("buildkitd")), "--version")

    def start(self) -> None:
        super().start()
        self.address = f"unix://{self.work / 'socket'}"
        self.launch(
            [str(program("buildkitd")), "--root", str(self.work / "root"), "--addr", self.address,
             "--containerd-worker=false", "--oci-worker=true", "--oci-worker-binary", "runc", "--oci-worker-net", "host",
             "--oci-worker-snapshotter", "overlayfs"],
            "debug", "workers",
        )  # fmt: skip

    def words(self, *arguments: str) -> Command:
        return Command([str(program("buildctl")), "--addr", self.address, *arguments], self.env, [self.daemon.pid])

    def build(self, context: Path, tag: str, *, cached: bool = False) -> Command:
        layout = self.work / f"layout-{tag}"
        output = f"type=oci,tar=false,dest={layout}" if tag in BASES else f"type=image,name={tag}"
        return self.words(
            "build", "--progress", "quiet", "--frontend", "dockerfile.v0", "--local", f"context={context}",
            "--local", f"dockerfile={context}", "--output", output, *([] if cached else ["--no-cache"]), *self._bases(),
        )  # fmt: skip

    def unbuild(self, name: str) -> list[Command]:
        """It keeps what it has made until it is told to prune, and the base with it: there is nothing to forget."""
        return []

    def _bases(self) -> list[str]:
        words: list[str] = []
        for name in BASES:
            index = self.work / f"layout-{name}/index.json"
            if index.exists():
                digest = json.loads(index.read_text())["manifests"][0]["digest"]
                words += [
                    "--oci-layout",
                    f"{name}={index.parent}",
                    "--opt",
                    f"context:{name}=oci-layout://{name}@{digest}",
                ]
        return words
