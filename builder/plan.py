"""From the Dockerfile's values to stages of steps: stage names, ONBUILD, pruning, targets. Runs nothing, reads nothing.

Only what the target needs is planned: its chain of bases, and what their COPY --from name. The one question to the
outside is which image a name stands for, since its ENV, WORKDIR, … and ONBUILD decide what the instructions mean.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from builder.dockerfile.instructions import (
    Add,
    Copy,
    Dockerfile,
    From,
    Instruction,
    Run,
    StageSource,
    Workdir,
)  # fmt: skip
from builder.dockerfile.parser import parse_trigger
from builder.dockerfile.source import suggestion
from builder.interpret import Interpreter
from builder.request import BuildRequest
from builder.scope import Scope
from builder.stages import BaseImage, Origin, Stage, Step
from builder.state import StageState, start_from_image, start_from_scratch, start_from_stage
from core.errors import InvalidInput, LamellaError, Unsupported
from core.units import whole_number
from image.platform import Platform

if TYPE_CHECKING:
    from builder.elsewhere import Elsewhere, FindLayout

FindImage = Callable[[str, Platform], BaseImage]
SCRATCH = "scratch"


class Planner:
    """Plans one build. A stage is planned once, however many others name it."""

    def __init__(
        self, request: BuildRequest, dockerfile: Dockerfile, find: FindImage, find_layout: FindLayout | None = None
    ) -> None:
        self.request = request
        self.dockerfile = dockerfile
        self.scope = Scope(request, dockerfile)
        self._find = find
        self._find_layout = find_layout
        self._stages: dict[int, Stage] = {}
        self._images: dict[str, BaseImage] = {}
        # For the checks: what each planned stage starts from, and its own instructions with the state before each.
        self.bases: dict[int, Stage | BaseImage | None] = {}
        self.seen: dict[int, list[tuple[StageState, Instruction]]] = {}

    def plan(self) -> Stage:
        """The target's stage, everything it needs hanging below it. Raises DockerfileError, InvalidInput, NotFound."""
        return self.stage(self._target())

    def _target(self) -> int:
        stages, wanted = self.dockerfile.stages, self.request.target
        if not wanted:
            return len(stages) - 1
        number = _named(stages, wanted, len(stages))
        if number is None:
            number = whole_number(wanted, len(stages) - 1)
        if number is None:
            names = [stage.name for stage in stages if stage.name]
            hint = suggestion(wanted, names) or (f"the stages are: {', '.join(names)}" if names else None)
            raise InvalidInput(f"target stage {wanted!r} could not be found in {self.dockerfile.name}", hint)
        return number

    def stage(self, number: int) -> Stage:
        """The stage of that number (from 0), planned with all it needs."""
        if number not in self._stages:
            self._stages[number] = self._plan_stage(number)
        return self._stages[number]

    def _plan_stage(self, number: int) -> Stage:
        source = self.dockerfile.stages[number]
        if replaced := self._replaced(source, number):
            self.bases[number], self.seen[number] = replaced.base, []
            return replaced
        start = source.start.expanded(self.scope.expander(self.scope.globals))
        base, state = self._base(number, start)
        self.bases[number] = base
        seen = self.seen[number] = []
        triggers = [self._trigger(text, source) for text in _triggers(base)]
        instructions = [*triggers, *source.instructions]
        total = (base is not None) + sum(map(_makes_layer, instructions))
        prefix = self._prefix(number)
        interpreter = Interpreter(self.scope, lambda name, asking: self._origin(number, name, asking), self._added)
        done = int(base is not None)
        steps: list[Step] = []
        for place, instruction in enumerate(instructions):
            if place >= len(triggers):
                seen.append((state, instruction))
            state, op, text = interpreter.apply(state, instruction)
            if op is not None:
                done += 1
                steps.append(
                    Step(op, f"[{prefix}{done}/{total}] {text}", instruction, getattr(instruction, "link", False))
                )
        name = base.name if isinstance(base, BaseImage) else start.image
        return Stage(number, source.name, base, tuple(steps), state, source.start, f"[{prefix}1/{total}] FROM {name}")

    def _prefix(self, number: int) -> str:
        if len(self.dockerfile.stages) == 1:
            return ""
        return (self.dockerfile.stages[number].name or f"stage-{number}") + " "

    def _base(self, number: int, start: From) -> tuple[Stage | BaseImage | None, StageState]:
        if not start.image:
            raise start.error("the base name is empty", "give the ARG that it is made of a value")
        if start.image == SCRATCH:
            return None, start_from_scratch()
        earlier = _named(self.dockerfile.stages, start.image, number, exact=True)
        if earlier is not None:
            base = self.stage(earlier)
            return base, start_from_stage(base.state)
        if self.request.contexts and (further := self._elsewhere.base(start.image, start)):
            return further
        image = self._image(start.image, start.platform, start)
        return image, start_from_image(image.config)

    def _replaced(self, source: StageSource, number: int) -> Stage | None:
        """The stage as a further context of its name has it, of which nothing that stands in the file is done."""
        further = self._elsewhere.base(source.name, source.start) if source.name and self.request.contexts else None
        if further is None:
            return None
        base, state = further
        title = f"[{self._prefix(number)}1/1] FROM {base.name if isinstance(base, BaseImage) else source.name}"
        return Stage(number, source.name, base, (), state, source.start, title)

    @cached_property
    def _elsewhere(self) -> Elsewhere:
        from builder.elsewhere import Elsewhere

        return Elsewhere(self.request, lambda name, asking: self._image(name, "", asking), self._find_layout)

    def _added(self, source: str, asking: Add) -> tuple[Stage, str]:
        return self._elsewhere.added(source, asking)

    def _image(self, name: str, platform: str, asking: Instruction) -> BaseImage:
        wanted = self.request.platform
        try:
            if platform and Platform.parse(platform) != wanted:
                raise Unsupported(
                    f"this machine builds for {wanted} only, not for {platform}", "leave --platform out, or build there"
                )
            if name not in self._images:
                self._images[name] = self._find(name, wanted)
        except LamellaError as error:
            near = suggestion(name, [stage.name for stage in self.dockerfile.stages if stage.name])
            raise asking.error(error.message, near or error.hint) from error
        return self._images[name]

    def _origin(self, number: int, name: str, asking: Instruction) -> Origin:
        """What `--from=name` means in stage `number`."""
        stages = self.dockerfile.stages
        earlier = _named(stages, name, number)
        if earlier is None and name.isdecimal():
            earlier = whole_number(name, number - 1)
            if earlier is None:
                raise asking.error(f"stage {name} does not come before this one", "copy from an earlier stage")
        wanted = name if earlier is None else stages[earlier].name
        if self.request.contexts and (further := self._elsewhere.named(wanted, asking)):
            return further
        if earlier is not None:
            return self.stage(earlier)
        if _named(stages, name, len(stages)) is not None:
            raise asking.error(f"stage {name!r} does not come before this one", "copy from an earlier stage")
        if name == SCRATCH:
            raise asking.error("there is nothing to copy from scratch")
        return self._image(name, "", asking)

    def _trigger(self, text: str, source: StageSource) -> Instruction:
        return parse_trigger(text, source.start.span)


def _named(stages: tuple[StageSource, ...], name: str, before: int, *, exact: bool = False) -> int | None:
    """The last stage called `name` among those before `before`. FROM compares exactly, --from and --target ignore case."""
    wanted = name if exact else name.lower()
    return next((n for n in reversed(range(before)) if stages[n].name and stages[n].name == wanted), None)


def _triggers(base: Stage | BaseImage | None) -> tuple[str, ...]:
    if base is None:
        return ()
    return base.config.config.on_build if isinstance(base, BaseImage) else base.state.config.on_build


def _makes_layer(instruction: Instruction) -> bool:
    return isinstance(instruction, Run | Copy | Add | Workdir)
