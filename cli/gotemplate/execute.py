"""Nodes + a value → text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from cli.gotemplate.errors import TemplateError
from cli.gotemplate.functions import FUNCTIONS, HEADING_FUNCTIONS, CallError
from cli.gotemplate.nodes import (
    Action,
    Branch,
    Dot,
    Fields,
    Function,
    Jump,
    Literal,
    Node,
    Operand,
    Pipeline,
    Text,
    Variable,
)  # fmt: skip
from cli.gotemplate.parser import parse
from cli.gotemplate.values import NIL, FreeKeys, Missing, NoSuchField, field, kind, show, truth, typed

Values = tuple[Any, ...]


class Template:
    """One parsed template, to be rendered any number of times. Raises TemplateError where it is malformed."""

    def __init__(self, source: str, *, heading: bool = False) -> None:
        """`heading`: it is rendered with the names of columns in place of their values."""
        self.source = source
        self._nodes = parse(source)
        self._functions = FUNCTIONS | HEADING_FUNCTIONS if heading else FUNCTIONS

    def render(self, value: Any) -> str:
        """The text for `value`. Raises TemplateError for a field that is not there or a call that makes no sense."""
        return _Run(self.source, self._functions, value).text(self._nodes)


class _Jumped(Exception):
    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Run:
    """One rendering. `_scope` holds variables, innermost last."""

    def __init__(self, source: str, functions: Mapping[str, Callable[..., Any]], value: Any) -> None:
        self._source = source
        self._functions = functions
        self._scope: list[tuple[str, Any]] = [("$", value)]
        self._out: list[str] = []

    def text(self, nodes: Iterable[Node]) -> str:
        self._all(nodes, self._scope[0][1])
        return "".join(self._out)

    def _fail(self, offset: int, why: str, hint: str | None = None) -> NoReturn:
        raise TemplateError(self._source, offset, why, hint)

    def _all(self, nodes: Iterable[Node], dot: Any) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self._out.append(node.text)
            elif isinstance(node, Action):
                value = self._assign(node, dot)
                if not node.names:
                    self._out.append(show(value if value is not None else Missing("<no value>")))
            elif isinstance(node, Jump):
                raise _Jumped(node.kind)
            else:
                self._branch(node, dot)

    def _assign(self, action: Action, dot: Any) -> Any:
        value = self._pipeline(action.pipeline, dot)
        for name in action.names:
            self._set(name, value, action.declare)
        return value

    def _set(self, name: str, value: Any, declare: bool) -> None:
        if declare:
            self._scope.append((name, value))
            return
        at = max(i for i, (known, _) in enumerate(self._scope) if known == name)
        self._scope[at] = (name, value)

    def _branch(self, node: Branch, dot: Any) -> None:
        depth = len(self._scope)
        if node.kind == "range":
            self._range(node, self._pipeline(node.head.pipeline, dot), dot)
        else:
            value = self._assign(node.head, dot)
            chosen = truth(value)
            inner = value if chosen and node.kind == "with" else dot
            self._all(node.body if chosen else node.otherwise, inner)
        del self._scope[depth:]

    def _range(self, node: Branch, value: Any, dot: Any) -> None:
        pairs = list(self._pairs(node, value))
        if not pairs:
            self._all(node.otherwise, dot)
        depth = len(self._scope)
        for key, item in pairs:
            names = node.head.names
            for name, part in zip(names, (key, item) if len(names) == 2 else (item,), strict=False):
                self._set(name, part, node.head.declare)
            try:
                self._all(node.body, item)
            except _Jumped as jump:
                if jump.kind == "break":
                    break
            finally:
                del self._scope[depth:]

    def _pairs(self, node: Branch, value: Any) -> Iterable[tuple[Any, Any]]:
        if isinstance(value, Missing) or value is None:
            return ()
        if isinstance(value, Mapping):
            return [(k, typed(k, value[k])) for k in sorted(value) if not callable(value[k])]
        if isinstance(value, int) and not isinstance(value, bool):
            return enumerate(range(value))
        if not isinstance(value, Sequence) or isinstance(value, str):
            self._fail(node.head.pipeline.offset, f"range can't iterate over a {kind(value)}")
        return enumerate(value)

    def _pipeline(self, pipeline: Pipeline, dot: Any) -> Any:
        last: Values = ()
        for command in pipeline.commands:
            last = (self._command(command, dot, last),)
        return last[0]

    def _command(self, command: tuple[Operand, ...], dot: Any, last: Values) -> Any:
        first, rest = command[0], command[1:]
        if isinstance(first, Function):
            return self._call(first, [*rest], dot, last)
        value = self._operand(first, dot)
        if callable(value):
            arguments = [self._operand(operand, dot) for operand in rest] + [*last]
            return self._guarded(first.offset, "method", value, arguments)
        if rest or last:
            self._fail(first.offset, "can't give an argument to a value that is no function")
        return value

    def _call(self, function: Function, operands: Sequence[Operand], dot: Any, last: Values) -> Any:
        if function.name in ("and", "or"):
            return self._short_circuit(function, operands, dot, last)
        arguments = [self._operand(operand, dot) for operand in operands] + [*last]
        if function.name == "not":
            if len(arguments) != 1:
                self._fail(function.offset, "not wants one argument")
            return not truth(arguments[0])
        return self._guarded(function.offset, function.name, self._functions[function.name], arguments)

    def _short_circuit(self, function: Function, operands: Sequence[Operand], dot: Any, last: Values) -> Any:
        value: Any = NIL
        for operand in operands:
            value = self._operand(operand, dot)
            if truth(value) == (function.name == "or"):
                return value
        if not operands and not last:
            self._fail(function.offset, f"{function.name} wants at least one argument")
        return last[0] if last else value

    def _guarded(self, offset: int, name: str, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        try:
            return function(*arguments)
        except CallError as error:
            self._fail(offset, f"error calling {name}: {error}")
        except (TypeError, AttributeError, ValueError, OverflowError):
            # Functions are called with whatever the template gives: too many, too few or of another type.
            given = ", ".join(map(kind, arguments)) or "nothing"
            self._fail(offset, f"error calling {name}: it does not take {given}")

    def _operand(self, operand: Operand, dot: Any) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Dot):
            return dot
        if isinstance(operand, Variable):
            return next(value for name, value in reversed(self._scope) if name == operand.name)
        if isinstance(operand, Pipeline):
            return self._pipeline(operand, dot)
        if isinstance(operand, Function):
            return self._call(operand, (), dot, ())
        return self._fields(operand, dot)

    def _fields(self, operand: Fields, dot: Any) -> Any:
        value = self._operand(operand.base, dot)
        for number, name in enumerate(operand.names):
            try:
                value = field(value, name)
            except NoSuchField as error:
                path = "." + ".".join(operand.names[: number + 1])
                self._fail(operand.offset, f"at <{path}>: {error}", _fields_hint(value))
        return value


def _fields_hint(value: Any) -> str | None:
    if not isinstance(value, Mapping) or isinstance(value, FreeKeys):
        return None
    return "fields: " + ", ".join(map(str, value))
