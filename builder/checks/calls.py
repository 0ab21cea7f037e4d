"""What `--call` answers, in the shape of BuildKit's JSON: findings, a target's arguments, the targets of a file."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from builder.checks.rules import RULES
from builder.dockerfile.expand import Expander, ExpansionError
from builder.dockerfile.instructions import Arg, Dockerfile, Run
from builder.dockerfile.source import DockerfileError, Finding, Span
from builder.stages import Stage
from core.value import Value

if TYPE_CHECKING:
    from builder.plan import Planner

Answer = dict[str, Any]


def check_answer(name: str, text: bytes, findings: tuple[Finding, ...], error: DockerfileError | None) -> Answer:
    """The findings on the file `name`, and the error at which a build would end."""
    warnings = [
        _given(
            ruleName=one.rule, description=RULES[one.rule].description, url=RULES[one.rule].url, detail=one.message,
            location=_location(one.span),
        )
        for one in findings
    ]  # fmt: skip
    answer: Answer = {"warnings": warnings}
    answer["sources"] = [{"filename": name, "data": _encoded(text), "language": "Dockerfile"}]
    if error:
        answer["buildError"] = {"message": error.what, "location": _location(error.span)}
    return answer


def targets_answer(dockerfile: Dockerfile, text: bytes) -> Answer:
    """All stages of a file. Only what is written down counts, so that nothing needs to be there."""
    last = dockerfile.stages[-1]
    targets = [
        _given(
            name=stage.name, default=stage is last, description=dockerfile.description(stage.start.span, stage.name),
            base=stage.base, platform=stage.platform, location=_location(stage.start.span),
        )
        for stage in dockerfile.stages
    ]  # fmt: skip
    return {"targets": targets, "sources": [_encoded(text)]}


def outline_answer(dockerfile: Dockerfile, text: bytes, planner: Planner, target: Stage) -> Answer:
    """The build arguments, secrets and agents that `target` and the stages it needs make use of."""
    outline = _Outline(dockerfile, planner)
    for stage in _reachable(target, set()):
        outline.add(stage)
    found = {kind: [one.shown() for one in outline.sorted(kind)] for kind in ("args", "secrets", "ssh")}
    source = dockerfile.stages[target.number]
    return _given(
        name=source.name, description=dockerfile.description(source.start.span, source.name), **found,
        sources=[_encoded(text)],
    )  # fmt: skip


def _given(**fields: Any) -> Answer:
    """The fields that are not empty, as Go's `omitempty` has it."""
    return {name: value for name, value in fields.items() if value}


def _location(span: Span) -> Answer:
    return {"ranges": [{"start": {"line": span.line}, "end": {"line": span.end_line}}]}


def _encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _reachable(stage: Stage, seen: set[int]) -> Iterator[Stage]:
    """`stage`, what it starts from, and what its steps copy from or mount."""
    if stage.number in seen:
        return
    seen.add(stage.number)
    yield stage
    for below in (stage.base, *(origin for step in stage.steps for origin in step.op.origins())):
        if isinstance(below, Stage):
            yield from _reachable(below, seen)


class _Item(Value):
    """Something a target can be given. `needs` are the arguments that an argument's value is made of."""

    name: str
    span: Span
    value: str = ""
    description: str = ""
    required: bool = False
    needs: frozenset[str] = frozenset()

    def shown(self) -> Answer:
        extra = _given(description=self.description, value=self.value, required=self.required)
        return {"name": self.name} | extra | {"location": _location(self.span)}


class _Outline:
    def __init__(self, dockerfile: Dockerfile, planner: Planner) -> None:
        self._dockerfile = dockerfile
        self._planner = planner
        self._found: dict[str, dict[str, _Item]] = {"args": {}, "secrets": {}, "ssh": {}}
        self._globals: dict[str, _Item] = {}
        for arg in dockerfile.global_args:
            for declaration in arg.declarations:
                value = planner.scope.globals.get(declaration.key, "")
                needs = self._names(declaration.default or "") - {declaration.key}
                self._globals[declaration.key] = self._argument(arg, declaration.key, value, needs)

    def sorted(self, kind: str) -> list[_Item]:
        return sorted(self._found[kind].values(), key=lambda item: item.span.line)

    def _argument(self, arg: Arg, key: str, value: str, needs: frozenset[str] = frozenset()) -> _Item:
        return _Item(key, arg.span, value, self._dockerfile.description(arg.span, key), needs=needs)

    def _names(self, text: str) -> frozenset[str]:
        """The variables in `text`."""
        found: set[str] = set()

        def lookup(name: str) -> str | None:
            found.add(name)
            return self._planner.scope.globals.get(name)

        try:
            Expander(lookup, self._dockerfile.escape).text(text)
        except ExpansionError:
            return frozenset()
        return frozenset(found)

    def add(self, stage: Stage) -> None:
        start = self._dockerfile.stages[stage.number].start
        for name in self._names(start.image) | self._names(start.platform):
            self._use(name)
        for state, one in self._planner.seen.get(stage.number, ()):
            if isinstance(one, Arg):
                values = self._planner.scope.declare(state, one).variables
                for declaration in one.declarations:
                    given = declaration.default is not None or declaration.key in self._planner.request.args
                    if given or declaration.key not in self._planner.scope.globals:
                        item = self._argument(one, declaration.key, values.get(declaration.key, ""))
                        self._found["args"].setdefault(declaration.key, item)
                    self._use(declaration.key)
            elif isinstance(one, Run):
                self._mounts(one)

    def _use(self, name: str) -> None:
        """A global argument is in use, and those that its value is made of."""
        item = self._globals.get(name)
        if item and name not in self._found["args"]:
            self._found["args"][name] = item
            for needed in item.needs:
                self._use(needed)

    def _mounts(self, one: Run) -> None:
        for mount in one.mounts:
            if mount.type == "secret":
                name = mount.id or mount.source or mount.target.rpartition("/")[2]
                self._found["secrets"].setdefault(name, _Item(name, one.span, required=mount.required))
            elif mount.type == "ssh":
                name = mount.id or "default"
                self._found["ssh"].setdefault(name, _Item(name, one.span, required=mount.required))
