"""Builds planned stages: takes from the cache what is there, runs the rest, and stacks the layers.

A memoised walk from the target down; one process, one build. A stage that is only copied from is built when a COPY that
misses the cache asks for it, or will for certain: then it is built beside what else there is to do.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builder.beside import Beside, Once
from builder.cache import APART, image_key, linked_key, step_key, tree_key
from builder.context import Context, ignore_rules
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.instructions import Run
from builder.failure import StepFailed
from builder.journal import Journal, Made
from builder.logs import Logs
from builder.masking import masking
from builder.request import BuildRequest
from builder.stages import BaseImage, Directory, Origin, Output, Stage, Step
from builder.supplies import Supplies
from core.errors import LamellaError, Unsupported
from core.progress import Progress, Stream
from core.removal import remove
from core.value import Value
from store.caches import Caches
from store.records import Record

if TYPE_CHECKING:
    from builder.sources.remote import Remote
    from builder.sources.web import Outside
    from layer.cloned import Original
    from runtime.step import Step as Sandboxed
    from runtime.step import StepRunner
    from snapshot.layers import Layers
    from snapshot.protocol import Snapshotter
    from store.leases import Lease
    from store.store import Store


class Tools(Value):
    """What a build works with. `runner` is asked for at the first RUN that is not cached, `context` at the first COPY."""

    store: Store
    layers: Layers
    snapshotter: Snapshotter
    runner: Callable[[], StepRunner]
    context: Callable[[], Context]
    progress: Progress
    lease: Lease
    outside: Callable[[], Outside] | None = None


class _Fresh:
    """The `Ground` of one step: a snapshot that nothing has been written to."""

    def __init__(self, snapshotter: Snapshotter, key: str) -> None:
        self._snapshotter = snapshotter
        self._key = key
        self.originals: dict[int, Original] = {}

    def mounted(self) -> contextlib.AbstractContextManager[Path]:
        return self._snapshotter.mounted(self._key)

    def upper(self) -> Path | None:
        place: Callable[[str], Path] | None = getattr(self._snapshotter, "upper", None)
        return place(self._key) if place else None

    def cloned(self, originals: Mapping[int, Original]) -> None:
        self.originals.update(originals)


class _Apart(_Fresh):
    """The `Ground` of a step that sees nothing of the tree (--link): an empty directory, which is not mounted where it need
    not be, for overlayfs would say of each new directory that it hides what is below."""

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        place = super().upper()
        if place:
            yield place
        else:
            with super().mounted() as root:
                yield root

    def upper(self) -> Path | None:
        return None


class _Bare(_Fresh):
    """The `Ground` of a first step on scratch: with nothing below, nothing need be mounted."""

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        place = self.upper()
        if place:
            yield place
        else:
            with super().mounted() as root:
                yield root


def _ground(step: Step, parents: Sequence[str]) -> type[_Fresh]:
    if step.apart:
        return _Apart
    return _Fresh if parents or isinstance(step.instruction, Run) else _Bare


class Solver:
    """Solves one build; also the `Workspace` of its steps."""

    def __init__(self, request: BuildRequest, tools: Tools, journal: Journal, instant: int, name: str) -> None:
        self.request = request
        self.instant = instant
        self._tools = tools
        self._journal = journal
        self._logs = Logs(tools.store.root / "builds" / name)
        self._name = name
        self._contexts = threading.local()
        self._remote: Remote | None = None
        self._opening = threading.Lock()
        self._once = Once()
        self._beside = Beside(request.jobs or os.cpu_count() or 1)
        self.used: list[str] = []
        self.supplies = Supplies(
            Caches(tools.store.root), self._scratch, self._beside.pause, request.secrets, request.agents,
            request.args.get("BUILDKIT_CACHE_MOUNT_NS", ""),
        )  # fmt: skip

    @property
    def context(self) -> Context:
        """See Workspace. Each thread has its own: a Context remembers its last answer."""
        context: Context | None = getattr(self._contexts, "context", None)
        if context is None:
            context = self._contexts.context = self._tools.context()
        return context

    def further_context(self, directory: Directory) -> Context:
        """See Workspace."""
        known: dict[Directory, Context] = self._contexts.__dict__.setdefault("further", {})
        if directory not in known:
            rules = ignore_rules(directory.path, None)
            known[directory] = Context.local(directory.path, rules, self._tools.store.file_digests)
        return known[directory]

    @property
    def remote(self) -> Remote:
        """See Workspace."""
        from builder.sources.remote import Remote

        with self._opening:
            if self._remote is None:
                if self._tools.outside is None:
                    raise Unsupported(
                        "this build may fetch nothing from elsewhere", "give it what it needs as a context"
                    )
                self._remote = Remote(
                    self._tools.outside(), self._tools.store.temporaries, self.supplies.caches, self,
                    fresh=self.request.no_cache, pause=self._beside.pause, check=self._beside.check,
                )  # fmt: skip
            return self._remote

    def close(self) -> None:
        """Leave nothing of what was fetched. Harmless to repeat."""
        if self._remote:
            self._remote.close()

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        fd, path = self._tools.store.temporaries.directory()
        try:
            yield path
        finally:
            remove(path)
            os.close(fd)

    # --- keys

    def origin_key(self, origin: Origin) -> str:
        """See Workspace."""
        if isinstance(origin, Directory):
            context = self.further_context(origin)
            return context.checksum(context.select(["/"]))
        if isinstance(origin, BaseImage):
            return image_key(origin.image.diff_ids, origin.image.platform)
        return self.key(origin, len(origin.steps))

    def key(self, stage: Stage, count: int) -> str:
        """The key of `stage` after its first `count` steps."""
        return self._once.get((stage, count), lambda: self._find_key(stage, count))

    def _find_key(self, stage: Stage, count: int) -> str:
        if count:
            before, own = self.key(stage, count - 1), self._own_key(stage, count)
            return linked_key(before, own) if stage.steps[count - 1].apart else own
        if stage.base is None:
            return image_key((), self.request.platform)
        return self.origin_key(stage.base)

    def _own_key(self, stage: Stage, count: int) -> str:
        """The key of the layer that step `count` makes: what is below does not matter to one that stands apart."""
        step = stage.steps[count - 1]
        before = APART if step.apart else self.key(stage, count - 1)
        return step_key(before, step.op.facts(), self._inputs(stage, count - 1))

    def _inputs(self, stage: Stage, number: int) -> str:
        return self._once.get(("inputs", stage, number), lambda: stage.steps[number].op.inputs(self))

    # --- stages

    def solve_all(self, target: Stage) -> tuple[Made, ...]:
        """`solve` for the whole build; when this returns or raises, no thread of it is left. Raises what went wrong first."""
        try:
            return self.solve(target)
        except BaseException as error:
            first = self._beside.fail(error)
            if first is error:
                raise
            raise first from first.__cause__
        finally:
            self._beside.close()

    def solve(self, stage: Stage) -> tuple[Made, ...]:
        """The layers of `stage`, those of the stages below it included, its base image's not; each once in the cache or
        built. Raises StepFailed, and what the store and the disk raise; Stopped where another thread has failed."""

        def find() -> tuple[Made, ...]:
            try:
                self._beside.check()
                return self._solve(stage)
            except BaseException as error:
                self._beside.fail(error)
                raise

        return self._once.get(stage, find)

    def _solve(self, stage: Stage) -> tuple[Made, ...]:
        self._look_ahead(stage)
        made = list(self.solve(stage.base) if isinstance(stage.base, Stage) else ())
        if isinstance(stage.base, BaseImage):
            self._tools.store.layers.refuse_image(stage.base.image.id)
            self._tools.progress.task(stage.start_title).finish()
        cached = self._from_cache(stage)
        for step, hit in zip(stage.steps, cached, strict=False):
            self._tools.progress.task(step.title).finish("CACHED")
            made.append(hit)
        if len(cached) < len(stage.steps):
            self._journal.begin(lambda: self._foresee(stage))
            self._begin_origins(stage, len(cached))
        for number in range(len(cached), len(stage.steps)):
            made.append(self._build(stage, number, made))
        return tuple(made)

    def _look_ahead(self, stage: Stage) -> None:
        """Begin now what the keys of the stage's steps will have to know of other stages; what is wanted first is left to
        this thread."""
        busy = isinstance(stage.base, Stage)
        if self._is_fresh(stage):
            self._begin_origins(stage, 0, busy=busy)
            return
        for number, step in enumerate(stage.steps):
            origins = _stages_of(step)
            begun = [] if self._beside.alone else origins if busy or number else origins[1:]
            for origin in begun:
                if not self._is_near(origin):
                    know = partial(self._know, stage, number, step)
                    self._start(know if len(origins) == 1 else partial(self.solve, origin))

    def _begin_origins(self, stage: Stage, first: int, *, busy: bool = False) -> None:
        """Begin the stages that what is left to build copies from, but (unless `busy`) for one that is wanted at once."""
        steps = stage.steps[first:]
        left = [
            step for step in steps if not step.apart or self._is_fresh(stage)
        ]  # one that stands apart may yet be a hit
        wanted = dict.fromkeys(origin for step in left for origin in _stages_of(step))
        at_once = not busy and left[:1] == list(steps[:1]) and any(_stages_of(step) for step in left[:1])
        for origin in [*wanted][int(at_once) :]:
            if origin not in self._once:
                self._start(partial(self.solve, origin))

    def _start(self, work: Callable[[], object]) -> None:
        if not self._beside.alone:
            self._beside.start(work)

    def _know(self, stage: Stage, number: int, step: Step) -> None:
        with self._pointing_at(step):
            self._inputs(stage, number)

    def _is_near(self, stage: Stage) -> bool:
        """Whether the cache has all of the stage, so that its files, or what is noted of them, are soon at hand."""
        return self._once.get(("near", stage), lambda: self._find_near(stage))

    def _find_near(self, stage: Stage) -> bool:
        if self._is_fresh(stage) or not all(map(self._is_near, _stages_below(stage))):
            return False
        numbers = range(1, len(stage.steps) + 1)
        return all(self._tools.store.records.get(self._own_key(stage, number)) for number in numbers)

    def _from_cache(self, stage: Stage) -> list[Made]:
        """The layers of the leading steps that have a record."""
        found: list[Made] = []
        if self._is_fresh(stage):
            return found
        for number in range(len(stage.steps)):
            hit = self._known(stage, number)
            if hit is None:
                break
            found.append(hit)
        return found

    def _known(self, stage: Stage, number: int) -> Made | None:
        """The layer of one step, if it has a record."""
        with self._pointing_at(stage.steps[number]):
            key = self._own_key(stage, number + 1)
        return self.look_up(key)

    def _is_fresh(self, stage: Stage) -> bool:
        """Whether the user wants this very stage's steps to run again."""
        return self.request.no_cache or (bool(stage.name) and stage.name in self.request.no_cache_stages)

    def _may_change(self, stage: Stage) -> bool:
        """Whether the stage, or one that it is made of, runs again, so that notes on its files do not hold."""
        return self._once.get(("may change", stage), lambda: self._find_change(stage))

    def _find_change(self, stage: Stage) -> bool:
        return self._is_fresh(stage) or any(map(self._may_change, _stages_below(stage)))

    def _foresee(self, stage: Stage) -> None:
        """What will be needed at the end, done beside the first step: the modules that publish, and keys, for which the
        context is read. Those that need another stage's files must wait for that."""
        import images.publish  # noqa: F401

        for number, step in enumerate(stage.steps):
            if step.op.origins():
                break
            self.key(stage, number + 1)

    def look_up(self, key: str) -> Made | None:
        """The layer with this key, held for the build; None where the cache has none."""
        store = self._tools.store
        record = store.records.get(key)
        if record is None or record.diff_id is None:
            return None
        with store.transaction(durable=False):  # looked up again: only together with the lease it stays
            layer = store.layers.get(record.diff_id)
            if layer is None or layer.damaged is not None or store.records.get(key) is None:
                return None
            self._tools.lease.hold_layer(layer.diff_id)
        self.used.append(key)
        return Made(layer.directory, lambda: key, record.created, layer.diff_id)

    # --- steps

    def _build(self, stage: Stage, number: int, below: Sequence[Made]) -> Made:
        step = stage.steps[number]
        hit = self._known(stage, number) if step.apart and not self._is_fresh(stage) else None
        if hit:
            self._tools.progress.task(step.title).finish("CACHED")
            return hit
        for origin in _stages_of(step):
            self.solve(origin)
        with self._beside.turn():
            return self._run(stage, number, below)

    def _run(self, stage: Stage, number: int, below: Sequence[Made]) -> Made:
        step = stage.steps[number]
        task = self._tools.progress.task(step.title)
        log = self._logs.open(step.title)

        def show(stream: Stream, data: bytes) -> None:
            if data:
                log.write(data)
                task.output(stream, data)

        try:
            with self._pointing_at(step, log.tail), masking(self.request.secrets.values(), show) as output:
                directory, originals = self._perform(step, self._directories(stage, below), output)
        except BaseException as error:
            task.fail(getattr(error, "what", None) or str(error) or "canceled")
            raise
        finally:
            log.close()
        task.finish()
        made = Made(directory, lambda: self._own_key(stage, number + 1), time.time_ns())
        self._journal.add(made, originals)
        return made

    def _perform(self, step: Step, parents: list[str], output: Output) -> tuple[str, Mapping[int, Original]]:
        """Run one step on top of the layer directories `parents`; the name of its own, and what is cloned in it."""
        snapshotter = self._tools.snapshotter
        key = f"{self._name}-{secrets.token_hex(4)}"
        self._prepare(key, [] if step.apart else parents)
        try:
            ground = _ground(step, parents)(snapshotter, key)
            step.op.perform(self, ground, output)
            return snapshotter.seal(key), ground.originals
        except BaseException:
            snapshotter.remove(key)
            raise

    def _prepare(self, key: str, parents: list[str]) -> None:
        from snapshot.missing import noted

        with noted(self._tools.store):
            self._tools.snapshotter.prepare(key, parents)

    def _directories(self, stage: Stage, made: Sequence[Made]) -> list[str]:
        """The names of all layer directories below, bottom first. One that comes twice is needed at the top only."""
        image = stage.root_image
        names = self._tools.layers.directories(image.image.diff_ids) if image else []
        names = [*names, *(one.directory for one in made)]
        return list(reversed(list(dict.fromkeys(reversed(names)))))

    @contextlib.contextmanager
    def _pointing_at(self, step: Step, tail: Callable[[], bytes] = bytes) -> Iterator[None]:
        """Whatever goes wrong inside is told with the instruction's place."""
        try:
            yield
        except StepFailed:
            raise
        except LamellaError as error:
            raise StepFailed(step, error, tail()) from error

    # --- what steps ask for

    def checksum(self, origin: Origin, sources: tuple[str, ...], parents: bool, exclude: tuple[str, ...]) -> str:
        """See Workspace."""
        if isinstance(origin, Directory):
            further = self.further_context(origin)
            return further.checksum(further.select(sources, parents=parents), Ignore.of(exclude))
        note = tree_key(self.origin_key(origin), [sources, parents, exclude])
        known = None
        if not (isinstance(origin, Stage) and self._may_change(origin)):
            known = self.recall(note)
        if known:
            return known.decode()
        with self.tree(origin) as root:
            context = Context.tree(root)
            found = context.checksum(context.select(sources, parents=parents), Ignore.of(exclude))
        self.remember(note, found.encode())
        return found

    def recall(self, key: str) -> bytes | None:
        """What an earlier build has remembered; used by this one, then."""
        record = self._tools.store.records.get(key)
        if record is None:
            return None
        self.used.append(key)
        return record.value

    def remember(self, key: str, value: bytes) -> None:
        """Note `value` under `key` for later builds, together with the layers of this one."""
        now = time.time_ns()
        self._journal.note(Record(key, None, value, now, now))

    @contextlib.contextmanager
    def tree(self, origin: Origin) -> Iterator[Path]:
        """See Workspace."""
        if isinstance(origin, Directory):
            yield origin.path
            return
        if isinstance(origin, Stage):
            names = self._directories(origin, self.solve(origin))
        else:
            names = self._tools.layers.directories(origin.image.diff_ids)
        key = f"{self._name}-{secrets.token_hex(4)}"
        self._prepare(key, names)
        try:
            with self._tools.snapshotter.mounted(key) as root:
                yield root
        finally:
            self._tools.snapshotter.remove(key)

    def sandbox(self, root: Path, step: Sandboxed, output: Output) -> int:
        """See Workspace."""
        runner = self._once.get("runner", self._tools.runner)
        return runner.run(root, step, output, self._beside.stop)


def _stages_of(step: Step) -> list[Stage]:
    """The stages whose files the step takes."""
    return [origin for origin in step.op.origins() if isinstance(origin, Stage)]


def _stages_below(stage: Stage) -> list[Stage]:
    """The stages that this one is made of."""
    base = [stage.base] if isinstance(stage.base, Stage) else []
    return [*base, *(origin for step in stage.steps for origin in _stages_of(step))]
