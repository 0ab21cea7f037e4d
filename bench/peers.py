"""The programs that are compared: how each builds, runs, pushes and pulls, on a store of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Command

ROOT = Path(__file__).parents[1]


def installed(*programs: str) -> bool:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return all(shutil.which(program, path=path) for program in programs)


def first_line(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[0]


class Tool:
    """One program with a store below `work`. Verbs give the Command to be measured; `start` and `stop` frame them all."""

    name = ""

    def __init__(self, work: Path) -> None:
        self.work = work / self.name
        self.env: dict[str, str] = {}

    def available(self) -> bool:
        raise AssertionError("each tool says what it needs")

    def version(self) -> str:
        raise AssertionError("each tool says what it is")

    def start(self) -> None:
        self.work.mkdir(parents=True)

    def stop(self) -> None:
        pass

    def words(self, *arguments: str) -> Command:
        raise AssertionError("each tool has words of its own")

    def build(self, context: Path, tag: str, *, cached: bool = False) -> Command:
        return self.words("build", "-q", *([] if cached else ["--no-cache"]), "-t", tag, str(context))

    def run_kept(self, image: str, name: str, script: str) -> Command:
        return self.words("run", "--name", name, "--network", "none", image, "sh", "-c", script)

    def commit(self, container: str, name: str) -> Command:
        return self.words("commit", container, name)

    def tag(self, image: str, name: str) -> Command:
        return self.words("tag", image, name)

    def push(self, name: str) -> Command:
        return self.words("push", "-q", name)

    def pull(self, name: str) -> Command:
        return self.words("pull", "-q", name)

    def save(self, name: str, archive: Path) -> Command:
        return self.words("save", "-o", str(archive), name)

    def load(self, archive: Path) -> Command:
        return self.words("load", "-q", "-i", str(archive))

    def forget(self, *names: str) -> list[Command]:
        """What must run, unmeasured, so that the layers of pulled or loaded images are really gone."""
        return [self.words("rmi", "-f", *names)]

    def unbuild(self, name: str) -> list[Command]:
        """As `forget`, for an image that was built."""
        return [self.words("rmi", "-f", name)]


class TwoStores(Tool):
    """A program that takes in what others made on a second store: its first has the same layers in what it built."""

    pulling: tuple[str, ...] = ("pull", "-q")

    def elsewhere(self, *arguments: str) -> Command:
        """As `words`, on the second store."""
        raise AssertionError("each tool says where that is")

    def pull(self, name: str) -> Command:
        return self.elsewhere(*self.pulling, name)

    def load(self, archive: Path) -> Command:
        return self.elsewhere("load", "-q", "-i", str(archive))

    def forget(self, *names: str) -> list[Command]:
        return [self.elsewhere("rmi", "-f", *names), self.elsewhere("image", "prune", "-f")]


class Lamella(TwoStores):
    name = "lamella"

    def available(self) -> bool:
        return True

    def version(self) -> str:
        return first_line(sys.executable, "-m", "lamella", "version")

    def words(self, *arguments: str) -> Command:
        program = Path(sys.executable).with_name("lamella")
        return Command([str(program), *arguments], {"LAMELLA_ROOT": str(self.work / "store"), **self.env})

    def elsewhere(self, *arguments: str) -> Command:
        command = self.words(*arguments)
        return Command(command.words, {**command.env, "LAMELLA_ROOT": str(self.work / "elsewhere")})

    def unbuild(self, name: str) -> list[Command]:
        return [*super().unbuild(name), self.words("builder", "prune", "-a", "-f")]


class Buildah(Tool):
    name = "buildah"

    def available(self) -> bool:
        return installed("buildah")

    def version(self) -> str:
        return first_line("buildah", "--version")

    def words(self, *arguments: str) -> Command:
        store = ["--root", str(self.work / "store"), "--runroot", str(self.work / "run"), "--storage-driver", "overlay"]
        return Command(["buildah", *store, *arguments], self.env)

    def build(self, context: Path, tag: str, *, cached: bool = False) -> Command:
        options = ["-q", "--layers", "--isolation", "chroot", *([] if cached else ["--no-cache"])]
        return self.words("build", *options, "-t", tag, str(context))

    def push(self, name: str) -> Command:
        return self.words("push", "-q", "--tls-verify=false", name)

    def pull(self, name: str) -> Command:
        return self.words("pull", "-q", "--tls-verify=false", name)


class Podman(TwoStores):
    name = "podman"
    pulling = ("pull", "-q", "--tls-verify=false")

    def available(self) -> bool:
        return installed("podman", "runc")

    def version(self) -> str:
        return first_line("podman", "--version")

    def start(self) -> None:
        super().start()
        (self.work / "containers.conf").write_text("[containers]\ndefault_ulimits=[]\n")
        self.env = {"CONTAINERS_CONF": str(self.work / "containers.conf")}

    def words(self, *arguments: str) -> Command:
        store = ["--root", str(self.work / "store"), "--runroot", str(self.work / "run"), "--storage-driver", "overlay"]
        return Command(["podman", *store, "--runtime", "runc", "--cgroup-manager", "cgroupfs", *arguments], self.env)

    def build(self, context: Path, tag: str, *, cached: bool = False) -> Command:
        options = ["-q", "--layers", "--network", "host", *([] if cached else ["--no-cache"])]
        return self.words("build", *options, "-t", tag, str(context))

    def push(self, name: str) -> Command:
        return self.words("push", "-q", "--tls-verify=false", name)

    def elsewhere(self, *arguments: str) -> Command:
        command = self.words(*arguments)
        moved = {str(self.work / name): str(self.work / f"{name}2") for name in ("store", "run")}
        return Command([moved.get(word, word) for word in command.words], command.env)


class Daemon(Tool):
    """A program for which a process of its own works from `start` to `stop`."""

    daemon: subprocess.Popen[bytes]

    def launch(self, words: Sequence[str], *probe: str) -> None:
        """Begin that process, and wait until the program's command `probe` reaches it."""
        with (self.work / "log").open("wb") as log:
            self.daemon = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        for _ in range(300):
            command = self.words(*probe)
            if command.run().returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"the daemon of {self.name} does not start: {(self.work / 'log').read_text()[-500:]}")

    def stop(self) -> None:
        self.daemon.terminate()
        self.daemon.wait(30)


class Docker(Daemon):
    """Debian's docker.io, its daemon started by hand on a private data directory; the classic builder."""

    name = "docker"
    buildkit = "0"
    networking: tuple[str, ...] = ("--bridge=none", "--iptables=false")

    def available(self) -> bool:
        return installed("dockerd") and Path("/usr/bin/docker").exists()

    def version(self) -> str:
        return first_line("/usr/bin/docker", "--version") + (
            " BuildKit" if self.buildkit == "1" else " classic builder"
        )

    def start(self) -> None:
        super().start()
        socket = self.work / "socket"
        self.env = {"DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": self.buildkit}
        self.launch(
            ["dockerd", "--data-root", str(self.work / "data"), "--exec-root", str(self.work / "exec"), "-H", f"unix://{socket}",
             "--pidfile", str(self.work / "pid"), *self.networking, "--storage-driver", "overlay2"],
            "version",
        )  # fmt: skip

    def words(self, *arguments: str) -> Command:
        return Command(["/usr/bin/docker", *arguments], self.env, [self.daemon.pid])

    def build(self, context: Path, tag: str, *, cached: bool = False) -> Command:
        return self.words(
            "build", "-q", "--network", "host", *([] if cached else ["--no-cache"]), "-t", tag, str(context)
        )

    def forget(self, *names: str) -> list[Command]:
        """Everything but the base: images of other names and both caches have the same layer."""
        return [
            self.words("create", "--name", "keep", "base", "true"),
            self.words("rmi", "-f", *names),
            self.words("image", "prune", "-a", "-f"),
            self.words("builder", "prune", "-a", "-f"),
        ]


class BuildKit(Docker):
    """The same daemon's embedded BuildKit."""

    name = "buildkit"
    buildkit = "1"

    def unbuild(self, name: str) -> list[Command]:
        return [*super().unbuild(name), self.words("builder", "prune", "-a", "-f")]


TOOLS: list[type[Tool]] = [Lamella, Buildah, Podman, Docker, BuildKit]
