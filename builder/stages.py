"""Planned work as values: stages, their steps, what a step does (`Op`), and what the steps of a build share (`Workspace`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from builder.dockerfile.instructions import Instruction
from builder.state import StageState
from core.progress import Stream
from core.value import Value
from image.config import ImageConfig

if TYPE_CHECKING:
    from builder.context import Context
    from builder.sources.remote import Remote
    from builder.supplies import Supplies
    from layer.cloned import Original
    from runtime.step import Step as Sandboxed
    from store.images import Image

Output = Callable[[Stream, bytes], None]


class BaseImage(Value):
    """An image that a stage starts from or copies from: the store's row, its config, and the name it was asked for by."""

    image: Image
    config: ImageConfig
    name: str


class Directory(Value):
    """A directory of this machine that was named as a further context (--build-context `name`=`path`)."""

    name: str
    path: Path


class Workspace(Protocol):
    """What the solver offers to a step that runs."""

    @property
    def context(self) -> Context:
        """The build context."""

    @property
    def remote(self) -> Remote:
        """What is elsewhere."""

    def further_context(self, directory: Directory) -> Context:
        """A named context, through its own ignore rules. Raises InvalidInput."""

    def origin_key(self, origin: Origin) -> str:
        """The key of everything in that tree. What is elsewhere is asked for its version, and need not be here for it."""

    @property
    def instant(self) -> int:
        """The time (ns since the epoch) that files get which the build itself makes."""

    @property
    def supplies(self) -> Supplies:
        """What the mounts of RUN steps are made of."""

    def tree(self, origin: Origin) -> AbstractContextManager[Path]:
        """The root file system of a stage's result or an image, or a named directory, for reading. A stage is built first
        if it must be."""

    def checksum(self, origin: Origin, sources: tuple[str, ...], parents: bool, exclude: tuple[str, ...]) -> str:
        """The digest of what copying `sources` from that tree would copy. A stage need not be there for it if it was once."""

    def sandbox(self, root: Path, step: Sandboxed, output: Output) -> int:
        """Run a process in `root`; its exit code."""


class Ground(Protocol):
    """The tree that a step changes: its stage's files so far, to which it adds a layer."""

    def mounted(self) -> AbstractContextManager[Path]:
        """The tree, for reading and writing, until the block ends. May be called again."""

    def upper(self) -> Path | None:
        """The directory that keeps what the step adds, in overlay's format, while nothing is mounted; None if there is no
        such place. What is made in it hides what is below in the tree, so a directory must not be made where there is one.
        """

    def cloned(self, originals: Mapping[int, Original]) -> None:
        """Say of inodes in `upper` what they are clones of."""


class Op(Protocol):
    """What a step does. A frozen value: `facts` and `inputs` decide its cache key, `perform` does it.

    The key of a step is the hash of its stage's key before it, `facts` and `inputs`; never of a time.
    """

    def facts(self) -> list[Any]:
        """Everything that decides the result and is known from the Dockerfile, as JSON."""

    def inputs(self, work: Workspace) -> str:
        """A digest of what the step reads from outside its stage; empty when it reads nothing. Raises NotFound."""

    def origins(self) -> tuple[Origin, ...]:
        """What else must have been built before it is performed."""

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        """Change the tree. Raises a LamellaError when the step fails."""


class Step(Value):
    """`title` is what progress shows: `[web 2/4] RUN make`. `apart`: it sees nothing of the tree below its layer (--link)."""

    op: Op
    title: str
    instruction: Instruction
    apart: bool = False


class Stage(Value):
    """One FROM and what follows it, down to the target. `base` None is scratch. `state` is that after the last instruction.

    `start` is its FROM and `start_title` the row that progress shows for it.
    """

    number: int
    name: str
    base: Stage | BaseImage | None
    steps: tuple[Step, ...]
    state: StageState
    start: Instruction
    start_title: str

    # A stage is itself and no other: comparing all that hangs below it would mean nothing.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def root_image(self) -> BaseImage | None:
        """The image below the whole chain of stages, if it is not scratch."""
        base = self.base
        while isinstance(base, Stage):
            base = base.base
        return base


Origin = Stage | BaseImage | Directory
"""Where COPY --from, RUN --mount=from and ADD take files from, if it is not the build context."""
