"""Builds planned stages: takes from the cache what is there, runs the rest, and stacks the layers.

A memoised walk from the target down; one process, one build. A stage that is only copied from is built when a COPY that
misses the cache asks for it, or will for certain: then it is built beside what else there is to do.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from builder.beside import Beside
from builder.failure import OF_PATHS, StepFailed, wrong_path
from builder.grounds import ground_of
from builder.journal import Journal, Made
from builder.logs import Logs
from builder.masking import masking
from builder.request import BuildRequest
from builder.stages import BaseImage, Output, Stage, Step
from builder.workbench import Tools, Workbench, stages_below, stages_of
from core.errors import LamellaError
from core.progress import Stream

if TYPE_CHECKING:
    from layer.cloned import Original


class Solver:
    """Solves one build."""

    def __init__(self, request: BuildRequest, tools: Tools, journal: Journal, instant: int, name: str) -> None:
        self._tools = tools
        self._journal = journal
        self._name = name
        self._logs = Logs(tools.store.root / "builds" / name)
        self._beside = Beside(request.jobs or os.cpu_count() or 1)
        self.bench = Workbench(request, tools, journal, instant, name, self._beside, self.solve)

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

        return self.bench.once.get(stage, find)

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
        if self.bench.is_fresh(stage):
            self._begin_origins(stage, 0, busy=busy)
            return
        for number, step in enumerate(stage.steps):
            origins = stages_of(step)
            begun = [] if self._beside.alone else origins if busy or number else origins[1:]
            for origin in begun:
                if not self._is_near(origin):
                    know = partial(self._know, stage, number, step)
                    self._start(know if len(origins) == 1 else partial(self.solve, origin))

    def _begin_origins(self, stage: Stage, first: int, *, busy: bool = False) -> None:
        """Begin the stages that what is left to build copies from, but (unless `busy`) for one that is wanted at once."""
        steps = stage.steps[first:]
        left = [
            step for step in steps if not step.apart or self.bench.is_fresh(stage)
        ]  # one that stands apart may yet be a hit
        wanted = dict.fromkeys(origin for step in left for origin in stages_of(step))
        at_once = not busy and left[:1] == list(steps[:1]) and any(stages_of(step) for step in left[:1])
        for origin in [*wanted][int(at_once) :]:
            if origin not in self.bench.once:
                self._start(partial(self.solve, origin))

    def _start(self, work: Callable[[], object]) -> None:
        if not self._beside.alone:
            self._beside.start(work)

    def _know(self, stage: Stage, number: int, step: Step) -> None:
        with self._pointing_at(step):
            self.bench.inputs(stage, number)

    def _is_near(self, stage: Stage) -> bool:
        """Whether the cache has all of the stage, so that its files, or what is noted of them, are soon at hand."""
        return self.bench.once.get(("near", stage), lambda: self._find_near(stage))

    def _find_near(self, stage: Stage) -> bool:
        if self.bench.is_fresh(stage) or not all(map(self._is_near, stages_below(stage))):
            return False
        numbers = range(1, len(stage.steps) + 1)
        return all(self._tools.store.records.get(self.bench.own_key(stage, number)) for number in numbers)

    def _from_cache(self, stage: Stage) -> list[Made]:
        """The layers of the leading steps that have a record."""
        found: list[Made] = []
        if self.bench.is_fresh(stage):
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
            key = self.bench.own_key(stage, number + 1)
        return self.look_up(key)

    def _foresee(self, stage: Stage) -> None:
        """What will be needed at the end, done beside the first step: the modules that publish, and keys, for which the
        context is read. Those that need another stage's files must wait for that."""
        import images.publish  # noqa: F401

        for number, step in enumerate(stage.steps):
            if step.op.origins():
                break
            self.bench.key(stage, number + 1)

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
        self.bench.used.append(key)
        return Made(layer.directory, lambda: key, record.created, layer.diff_id)

    # --- steps

    def _build(self, stage: Stage, number: int, below: Sequence[Made]) -> Made:
        step = stage.steps[number]
        hit = self._known(stage, number) if step.apart and not self.bench.is_fresh(stage) else None
        if hit:
            self._tools.progress.task(step.title).finish("CACHED")
            return hit
        for origin in stages_of(step):
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
            with self._pointing_at(step, log.tail), masking(self.bench.request.secrets.values(), show) as output:
                directory, originals = self._perform(step, self.bench.directories(stage, below), output)
        except BaseException as error:
            task.fail(getattr(error, "what", None) or str(error) or "canceled")
            raise
        finally:
            log.close()
        task.finish()
        made = Made(directory, lambda: self.bench.own_key(stage, number + 1), time.time_ns())
        self._journal.add(made, originals)
        return made

    def _perform(self, step: Step, parents: list[str], output: Output) -> tuple[str, Mapping[int, Original]]:
        """Run one step on top of the layer directories `parents`; the name of its own, and what is cloned in it."""
        snapshotter = self._tools.snapshotter
        key = f"{self._name}-{secrets.token_hex(4)}"
        self.bench.prepare(key, [] if step.apart else parents)
        try:
            ground = ground_of(step, parents)(snapshotter, key)
            step.op.perform(self.bench, ground, output)
            return snapshotter.seal(key), ground.originals
        except BaseException:
            snapshotter.remove(key)
            raise

    @contextlib.contextmanager
    def _pointing_at(self, step: Step, tail: Callable[[], bytes] = bytes) -> Iterator[None]:
        """Whatever goes wrong inside is told with the instruction's place."""
        try:
            yield
        except StepFailed:
            raise
        except LamellaError as error:
            raise StepFailed(step, error, tail()) from error
        except OSError as error:
            if error.errno not in OF_PATHS:
                raise
            raise StepFailed(step, wrong_path(error), tail()) from error

    # --- what steps ask for
