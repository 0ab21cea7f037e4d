"""One build from text to image: parse, plan, solve, export."""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.checks.memory import Told, findings_of, nobody, refuse
from builder.context import Context, Foreseen, ignore_rules, nothing_foreseen
from builder.dockerfile.parser import parse
from builder.export import epoch_of, export
from builder.journal import Journal
from builder.plan import Planner
from builder.request import BuildRequest, BuildResult, ImageSource
from builder.solver import Solver
from builder.stages import BaseImage, Stage
from builder.workbench import Tools
from core.errors import InvalidInput, NotFound
from core.progress import Progress
from image.platform import Platform
from image.reference import Reference

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Dockerfile
    from builder.sources.named import LayoutContext
    from builder.sources.web import Outside
    from runtime.step import StepRunner
    from snapshot.layers import Layers
    from snapshot.protocol import Snapshotter
    from store.images import Image
    from store.leases import Lease
    from store.store import Store

SHORT_ID = 12
MAX_STAGES = 1000
_FRAMES_A_STAGE = 40  # how deep a walk may go for each, where all stand on one another
# BuildKit fetches what reads the file under this name; here it is read by what is there, which speaks all of it.
_OUR_SYNTAX = r"(docker\.io/)?docker/dockerfile(-upstream)?([:@].*)?|dockerfile\.v0"


def build(
    request: BuildRequest, store: Store, layers: Layers, snapshotter: Snapshotter, runner: Callable[[], StepRunner],
    source: ImageSource, progress: Progress, foreseen: Foreseen | None = None, told: Told = nobody,
    outside: Callable[[], Outside] | None = None,
) -> BuildResult:  # fmt: skip
    """The image that `request` asks for, durable and tagged when this returns. `foreseen` may know statuses in the context;
    `told` hears what the checks find before the first step runs; without `outside` nothing is fetched from elsewhere.

    Must run inside `core.namespaces.contained`. Raises DockerfileError, StepFailed, NotFound, InvalidInput, Unavailable;
    what the finished steps gave is kept for the next try.
    """
    task = progress.task(f"[internal] load build definition from {os.path.basename(request.dockerfile_name)}")
    dockerfile = parse(request.dockerfile, request.dockerfile_name)
    _make_room(dockerfile)
    task.finish()
    epoch = epoch_of(request)
    with store.leases.take("build") as lease:
        finder = _Finder(store, source, lease, request)
        planner = Planner(request, dockerfile, finder.by_name, finder.by_layout)
        target = planner.plan()
        findings = findings_of(request, dockerfile, planner, store)
        for warning in _warnings(planner):
            progress.warn(warning)
        told(findings)
        refuse(request, dockerfile, findings)
        tools = Tools(
            store,
            layers,
            snapshotter,
            runner,
            lambda: _context(request, store, foreseen or nothing_foreseen),
            progress,
            lease,
            outside,
        )
        image = _solve(request, tools, target, epoch)
    return BuildResult(image, findings)


def _make_room(dockerfile: Dockerfile) -> None:
    """For walks over stages, which go down from each to those below it."""
    count = len(dockerfile.stages)
    if count > MAX_STAGES:
        raise InvalidInput(f"{dockerfile.name} has {count} stages, and {MAX_STAGES} are the limit", "divide it")
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000 + _FRAMES_A_STAGE * count))


def _solve(request: BuildRequest, tools: Tools, target: Stage, epoch: int | None) -> Image:
    journal = Journal(tools.store, tools.snapshotter, tools.layers, tools.lease)
    instant = epoch if epoch is not None else time.time_ns()
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
    solver = Solver(request, tools, journal, instant, name)
    try:
        made = solver.solve_all(target)
        if request.squash and len(made) > 1:
            from builder.squash import squashed

            target, made = squashed(solver, tools, journal, target, made)
        task = tools.progress.task("exporting to image")
        journal.wait()
        journal.enter()
        image = export(request, tools.store, target, made, epoch)
        names = [f"naming to {reference}" for reference in request.tags]
        task.output("stdout", "\n".join([f"writing image {image.id}", *names, ""]).encode())
        task.finish()
        if solver.bench.used:
            tools.store.records.touch(solver.bench.used)
        return image
    except BaseException:
        journal.close()
        journal.enter()
        raise
    finally:
        solver.bench.close()
        journal.close()


def _context(request: BuildRequest, store: Store, foreseen: Foreseen) -> Context:
    rules = ignore_rules(request.context, request.dockerfile_path, sent=request.sent)
    return Context.local(request.context, rules, store.file_digests, foreseen)


class _Finder:
    """How the planner finds images: whatever it finds is leased until the build ends."""

    def __init__(self, store: Store, source: ImageSource, lease: Lease, request: BuildRequest) -> None:
        self._store = store
        self._source = source
        self._lease = lease
        self._pull = request.pull

    def by_name(self, name: str, platform: Platform) -> BaseImage:
        by_id = _by_id(self._store, name)
        image = by_id or self._source.resolve(Reference.parse(name).tagged(), platform, pull=self._pull)
        return self._held(image, name if by_id else Reference.parse(name).tagged().familiar)

    def by_layout(self, layout: LayoutContext, platform: Platform) -> BaseImage:
        return self._held(self._source.from_layout(layout, platform), f"oci-layout://{layout.path}")

    def _held(self, image: Image, name: str) -> BaseImage:
        store = self._store
        with store.database.write(durable=False):
            self._lease.hold_image(image.id)
            store.images.touch(image.id)
        if store.images.get(image.id) is None:
            raise NotFound(f"image {name} was removed meanwhile", "build again")
        return BaseImage(image, store.images.config(image.id), name)


def _by_id(store: Store, name: str) -> Image | None:
    """The local image whose ID, or a good part of it, `name` is; images are not named so."""
    from images.resolve import by_prefix

    return by_prefix(store, name) if len(name.removeprefix("sha256:")) >= SHORT_ID else None


def _warnings(planner: Planner) -> list[str]:
    found = []
    syntax = planner.request.args.get("BUILDKIT_SYNTAX", planner.dockerfile.directives.syntax)
    if syntax and not re.fullmatch(_OUR_SYNTAX, syntax):
        found.append(f"syntax={syntax} is no Dockerfile syntax that is known here: the file is read as a Dockerfile")
    unused = planner.scope.unused()
    if unused:
        found.append(f"one or more build-args {unused} were not consumed: no ARG declares them")
    return found
