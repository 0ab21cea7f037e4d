"""The programs that run containers, each on a ground of its own, with the networks it makes by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.ground import Ground
from bench.measure import Command, Failed
from bench.peers import Docker, Lamella, Podman, Tool, first_line, installed

NETWORK = "app"  # a user-defined bridge that each of them has


class Runner(Tool):
    """A program on its ground. `start` gives it the network `app`; `stop` ends all that it has started."""

    ground: Ground

    def start(self) -> None:
        self.ground = Ground()
        super().start()

    def ready(self) -> None:
        """What needs the base image, or networks."""
        self.said("network", "create", NETWORK)
        self.said("run", "-d", "--name", "sleeper", "--network", "none", "base", "sleep", "36000")

    def words(self, *arguments: str) -> Command:
        return replace(super().words(*arguments), ground=self.ground)

    def said(self, *arguments: str) -> str:
        """What the program prints when it does this, unmeasured. Raises Failed."""
        done = self.words(*arguments).run()
        if done.returncode:
            raise Failed(f"{self.name} {' '.join(arguments)}: {done.stderr.decode(errors='replace')[-500:]}")
        return done.stdout.decode().strip()

    def pid(self, container: str) -> int:
        """Its first process."""
        return int(self.said("inspect", "-f", "{{.State.Pid}}", container))

    def remove(self, *containers: str) -> None:
        self.said("rm", "-f", *containers)

    def stop(self) -> None:
        try:
            left = self.said("ps", "-aq").split()
            if left:
                self.remove(*left)
        finally:
            super().stop()
            self.ground.close()


class LamellaRunner(Runner, Lamella):
    pass


class PodmanRunner(Runner, Podman):
    """With runc, netavark and aardvark-dns."""

    def words(self, *arguments: str) -> Command:
        return super().words("--network-config-dir", str(self.work / "networks"), *arguments)


class PodmanCrun(PodmanRunner):
    """With crun, where it starts anything at all: without the unified tree of cgroups."""

    name = "podman-crun"
    prefix: Sequence[str] = ()

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.work = work / "crun"  # podman refuses long paths

    def available(self) -> bool:
        return super().available() and installed("crun")

    def version(self) -> str:
        return f"{super().version()} with {first_line('crun', '--version')}"

    def start(self) -> None:
        super().start()
        self.prefix = self.ground.without_unified()

    def words(self, *arguments: str) -> Command:
        command = super().words(*arguments)
        return replace(command, words=[*self.prefix, *("crun" if word == "runc" else word for word in command.words)])


class DockerRunner(Runner, Docker):
    """With its own bridges and rules."""

    networking = ("--ip-forward=true",)

    def launch(self, words: Sequence[str], *probe: str) -> None:
        with self.ground.entered():
            super().launch(words, *probe)


RUNNERS: list[type[Runner]] = [LamellaRunner, PodmanRunner, PodmanCrun, DockerRunner]


def crun_command(ground: Ground, bundle: str, state: str) -> Command:
    """A bare `crun run` of the bundle."""
    prefix = ground.without_unified()
    return Command([*prefix, "crun", "--root", state, "run", "--bundle", bundle, "bare"], {}, ground=ground)


def make_bundle(bundle: str, archive: str) -> None:
    """A bundle that runs `true` on the root file system in an archive."""
    import json

    os.makedirs(f"{bundle}/rootfs")
    subprocess.run(["tar", "xzf", archive, "-C", f"{bundle}/rootfs"], check=True)
    subprocess.run(["crun", "spec"], cwd=bundle, check=True)
    with open(f"{bundle}/config.json", "r+", encoding="utf-8") as file:
        config = json.load(file)
        config["process"] |= {"terminal": False, "args": ["true"]}
        file.seek(0)
        file.truncate()
        json.dump(config, file)
