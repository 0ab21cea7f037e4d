"""What the steps of one build share: the contexts, what is elsewhere, keys, and the files of stages and images."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder.beside import Beside, Once
from builder.cache import APART, image_key, linked_key, step_key, tree_key
from builder.context import Context, ignore_rules
from builder.dockerfile.ignore import Ignore
from builder.journal import Journal, Made
from builder.request import BuildRequest
from builder.stages import BaseImage, Directory, Origin, Output, Stage, Step
from builder.supplies import Supplies
from core.errors import Unsupported
from core.progress import Progress
from core.removal import remove
from core.value import Value
from store.caches import Caches
from store.records import Record

if TYPE_CHECKING:
    from builder.sources.remote import Remote
    from builder.sources.web import Outside
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


class Workbench:
    """The `Workspace` of one build's steps. `solve` gives the layers of a stage, which it builds where it must."""

    def __init__(
        self, request: BuildRequest, tools: Tools, journal: Journal, instant: int, name: str, beside: Beside,
        solve: Callable[[Stage], Sequence[Made]],
    ) -> None:  # fmt: skip
        self.request = request
        self.instant = instant
        self.once = Once()
        self.used: list[str] = []
        self._tools = tools
        self._journal = journal
        self._name = name
        self._beside = beside
        self._solve = solve
        self._contexts = threading.local()
        self._remote: Remote | None = None
        self._opening = threading.Lock()
        self.supplies = Supplies(
            Caches(tools.store.root), self._scratch, beside.pause, request.secrets, request.agents,
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
        return self.once.get((stage, count), lambda: self._find_key(stage, count))

    def _find_key(self, stage: Stage, count: int) -> str:
        if count:
            before, own = self.key(stage, count - 1), self.own_key(stage, count)
            return linked_key(before, own) if stage.steps[count - 1].apart else own
        if stage.base is None:
            return image_key((), self.request.platform)
        return self.origin_key(stage.base)

    def own_key(self, stage: Stage, count: int) -> str:
        """The key of the layer that step `count` makes: what is below does not matter to one that stands apart."""
        step = stage.steps[count - 1]
        before = APART if step.apart else self.key(stage, count - 1)
        return step_key(before, step.op.facts(), self.inputs(stage, count - 1))

    def inputs(self, stage: Stage, number: int) -> str:
        return self.once.get(("inputs", stage, number), lambda: stage.steps[number].op.inputs(self))

    def is_fresh(self, stage: Stage) -> bool:
        """Whether the user wants this very stage's steps to run again."""
        return self.request.no_cache or (bool(stage.name) and stage.name in self.request.no_cache_stages)

    def may_change(self, stage: Stage) -> bool:
        """Whether the stage, or one that it is made of, runs again, so that notes on its files do not hold."""
        return self.once.get(("may change", stage), lambda: self._find_change(stage))

    def _find_change(self, stage: Stage) -> bool:
        return self.is_fresh(stage) or any(map(self.may_change, stages_below(stage)))

    def prepare(self, key: str, parents: list[str]) -> None:
        from snapshot.missing import noted

        with noted(self._tools.store):
            self._tools.snapshotter.prepare(key, parents)

    def directories(self, stage: Stage, made: Sequence[Made]) -> list[str]:
        """The names of all layer directories below, bottom first. One that comes twice is needed at the top only."""
        image = stage.root_image
        names = self._tools.layers.directories(image.image.diff_ids) if image else []
        names = [*names, *(one.directory for one in made)]
        return list(reversed(list(dict.fromkeys(reversed(names)))))

    # --- what steps ask for

    def checksum(self, origin: Origin, sources: tuple[str, ...], parents: bool, exclude: tuple[str, ...]) -> str:
        """See Workspace."""
        if isinstance(origin, Directory):
            further = self.further_context(origin)
            return further.checksum(further.select(sources, parents=parents), Ignore.of(exclude))
        note = tree_key(self.origin_key(origin), [sources, parents, exclude])
        known = None
        if not (isinstance(origin, Stage) and self.may_change(origin)):
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
            names = self.directories(origin, self._solve(origin))
        else:
            names = self._tools.layers.directories(origin.image.diff_ids)
        key = f"{self._name}-{secrets.token_hex(4)}"
        self.prepare(key, names)
        try:
            with self._tools.snapshotter.mounted(key) as root:
                yield root
        finally:
            self._tools.snapshotter.remove(key)

    def sandbox(self, root: Path, step: Sandboxed, output: Output) -> int:
        """See Workspace."""
        runner = self.once.get("runner", self._tools.runner)
        return runner.run(root, step, output, self._beside.stop)


def stages_of(step: Step) -> list[Stage]:
    """The stages whose files the step takes."""
    return [origin for origin in step.op.origins() if isinstance(origin, Stage)]


def stages_below(stage: Stage) -> list[Stage]:
    """The stages that this one is made of."""
    base = [stage.base] if isinstance(stage.base, Stage) else []
    return [*base, *(origin for step in stage.steps for origin in stages_of(step))]
