"""The cases: for each tool, what is prepared unmeasured before every round and what is measured."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import work
from bench.measure import Command, Failed, seconds, walk_seconds
from bench.peers import Lamella, Podman, Tool
from bench.registries import Registry


@dataclass(frozen=True)
class Case:
    """`prepare` runs before every round, `measure` gives the command; `rounds` counts, `memory` asks for a peak as well.

    `yardsticks` are seconds of something simpler on the same work, by name, taken in every round too; `aim` makes of their
    medians what lamella is to take at most."""

    name: str
    title: str
    tools: Sequence[str]
    prepare: Callable[[Tool], None]
    measure: Callable[[Tool], Command]
    rounds: int = 5
    memory: bool = False
    yardsticks: Mapping[str, Callable[[], float]] = field(default_factory=dict)
    aim: Callable[[Mapping[str, float]], float] | None = None


def quietly(command: Command) -> None:
    """Run an unmeasured command; its failure is the case's."""
    done = command.run()
    if done.returncode:
        raise Failed(
            f"{' '.join(map(str, command.words))}: {(done.stderr + done.stdout)[-500:].decode(errors='replace')}"
        )


def forget(tool: Tool, name: str) -> None:
    """Have nothing of the image `name`, whether it was there or not."""
    for command in tool.forget(name):
        command.run()


def unbuild(tool: Tool, name: str) -> None:
    """Have no layer of the image `name`: to make one that is there already is to make it and throw it away."""
    for command in tool.unbuild(name):
        command.run()


ALL = ("lamella", "buildah", "podman", "docker", "buildkit", "buildkitd")
MOVERS = ("lamella", "buildah", "podman", "docker")
RUNNERS = ("lamella", "podman", "docker")
FILES = "mkdir /d; for i in $(seq 10000); do echo $i >/d/$i; done"
GIB = "dd if=/dev/urandom of=/big bs=1M count=1024"


def cases(area: Path, registry: Registry, own: Registry | None) -> list[Case]:
    """All cases over contexts made below `area`. What is pushed and pulled goes through `registry`; a push to `own`, with
    lamella at both ends, stands beside its peers' pushes to `registry`."""
    ten, many, one, big = (make(area) for make in (work.ten_runs, work.many_files, work.one_copy, work.big_file))
    pulled = f"{registry.address}/bench/pulled"

    @functools.cache
    def made(make: Callable[[Path], Path]) -> Path:
        """A context that takes long to make: only for who needs it."""
        return make(area)

    @functools.cache
    def application(installer: str) -> Path:
        return work.python_app(area, installer)

    def python(installer: str) -> Case:
        return Case(f"python-{installer}", f"a Python application on Debian, its venv of over 10,000 files made by {installer}", ALL,
                    lambda t: quietly(t.build(made(work.debian), "debian", cached=True)), lambda t: t.build(application(installer), "app"),
                    rounds=3, memory=True)  # fmt: skip

    def nothing(tool: Tool) -> None: ...

    def warm(tool: Tool) -> None:
        quietly(tool.build(many, "many", cached=True))

    def pushed_to(tool: Tool, where: Registry) -> str:
        return f"{where.address}/bench/big-{tool.name}"

    def at_home(tool: Tool) -> Registry:
        return own if own and tool.name == own.name else registry

    def unpushed(tool: Tool, where: Registry) -> None:
        where.empty()
        quietly(tool.build(big, "big", cached=True))
        quietly(tool.tag("big", pushed_to(tool, where)))

    def one_for_all(tool: Tool) -> None:
        """The very image that lamella pushed, of which nothing is here."""
        maker = Lamella(area)
        quietly(maker.build(big, "big", cached=True))
        quietly(maker.tag("big", pulled))
        quietly(maker.push(pulled))
        forget(tool, pulled)

    def unsaved(tool: Tool) -> None:
        quietly(tool.build(big, "big", cached=True))
        saved_by(tool).unlink(missing_ok=True)

    def saved_by(tool: Tool) -> Path:
        return area / f"saved-{tool.name}.tar"

    def moved_by(tool: Tool) -> Path:
        return area / f"moved-{tool.name}.tar"

    def archive_for_all(tool: Tool) -> None:
        """The very archive that lamella saved, of which nothing is here."""
        maker = Lamella(area)
        if not moved_by(maker).exists():
            quietly(maker.build(big, "moved", cached=True))
            quietly(maker.save("moved", moved_by(maker)))
        forget(tool, "moved")
        forget(tool, pulled)

    def archive_of_podman(tool: Tool) -> None:
        """An archive whose layers podman has packed."""
        maker = Podman(area)
        maker.env = {"CONTAINERS_CONF": str(maker.work / "containers.conf")}
        if not moved_by(maker).exists():
            quietly(maker.build(big, "localhost/moved", cached=True))
            quietly(maker.save("localhost/moved", moved_by(maker)))
            for name in ("localhost/moved", "big"):
                forget(maker, name)
        forget(tool, "localhost/moved")
        forget(tool, pulled)

    def copied(context: Path) -> float:
        """dd of the context's largest file, which is gone afterwards."""
        source, target = max(context.iterdir(), key=lambda path: path.stat().st_size), area / "copied"
        try:
            return seconds(Command(["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync"], {}))
        finally:
            target.unlink(missing_ok=True)

    def uncommitted(tool: Tool, name: str, script: str) -> None:
        """A new stopped container that has done `script`, and no image of it."""
        old = tool.words("rm", "-f", name)
        old.run()
        command = tool.run_kept("base", name, script)
        command.run()
        gone = tool.words("rmi", "-f", f"{name}-image")
        gone.run()

    return [
        Case("ten-runs", "ten `RUN true` steps, uncached", ALL, nothing, lambda t: t.build(ten, "ten")),
        Case("no-op", "fully cached rebuild of 12 steps with a 10,000-file COPY", ALL, warm, lambda t: t.build(many, "many", cached=True),
             yardsticks={"lamella version": lambda: seconds(Lamella(area).words("version")), "a bare walk": lambda: walk_seconds(many)},
             aim=lambda found: found["lamella version"] + 2 * found["a bare walk"] + 0.03),
        Case("copy-10k", "COPY of 10,000 files, uncached", ALL, lambda t: unbuild(t, "one"), lambda t: t.build(one, "one")),
        Case("copy-1g", "COPY of a 1 GiB file, uncached", ALL, lambda t: unbuild(t, "copy1g"), lambda t: t.build(big, "copy1g"), rounds=3, memory=True,
             yardsticks={"dd conv=fsync": lambda: copied(big)}, aim=lambda found: 1.5 * found["dd conv=fsync"]),
        Case("add-debian", "`FROM scratch` and ADD of a Debian root file system", ALL, lambda t: unbuild(t, "debian"), lambda t: t.build(made(work.debian), "debian"),
             rounds=3, memory=True),
        *map(python, work.INSTALLERS),
        Case("push-1g", "push of a 1 GiB layer, all to the same docker-registry", MOVERS, lambda t: unpushed(t, registry),
             lambda t: t.push(pushed_to(t, registry)), rounds=3, memory=True),
        Case("push-1g-home", "push of a 1 GiB layer, lamella to its own registry, the peers to docker-registry", MOVERS,
             lambda t: unpushed(t, at_home(t)), lambda t: t.push(pushed_to(t, at_home(t))), rounds=3),
        Case("pull-1g", "pull of a 1 GiB layer, the same image from the same docker-registry", MOVERS, one_for_all,
             lambda t: t.pull(pulled), rounds=3, memory=True),
        Case("save-1g", "save of an image with a 1 GiB layer to a file", RUNNERS, unsaved, lambda t: t.save("big", saved_by(t)), rounds=3, memory=True),
        Case("load-1g", "load of the archive that lamella saved", RUNNERS, archive_for_all, lambda t: t.load(moved_by(Lamella(area))), rounds=3, memory=True),
        Case("load-1g-foreign", "load of the archive that podman saved", RUNNERS, archive_of_podman, lambda t: t.load(moved_by(Podman(area))), rounds=3),
        Case("commit-10k", "commit of a container that has written 10,000 files", RUNNERS, lambda t: uncommitted(t, "files", FILES),
             lambda t: t.commit("files", "files-image")),
        Case("commit-1g", "commit of a container that has written 1 GiB", RUNNERS, lambda t: uncommitted(t, "gib", GIB),
             lambda t: t.commit("gib", "gib-image"), rounds=3, memory=True),
    ]  # fmt: skip
