"""What a template consists of once it is parsed."""

from __future__ import annotations

from typing import Any

from core.value import Value


class Literal(Value):
    value: Any
    offset: int


class Dot(Value):
    offset: int


class Variable(Value):
    name: str
    offset: int


class Function(Value):
    name: str
    offset: int


class Fields(Value):
    """`base.A.B`: `.A.B` has the dot as its base."""

    base: Operand
    names: tuple[str, ...]
    offset: int


class Pipeline(Value):
    """Commands joined by `|`: each is its operands, the first one called with the others."""

    commands: tuple[tuple[Operand, ...], ...]
    offset: int


Operand = Literal | Dot | Variable | Function | Fields | Pipeline


class Text(Value):
    text: str


class Action(Value):
    """A pipeline to print, or (`names`) to put into variables; `declare`: `:=` rather than `=`."""

    pipeline: Pipeline
    names: tuple[str, ...] = ()
    declare: bool = False


class Branch(Value):
    """`kind` is if, with or range."""

    kind: str
    head: Action
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Jump(Value):
    """`kind` is break or continue."""

    kind: str


Node = Text | Action | Branch | Jump
