"""What a template consists of once it is parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any
    offset: int


@dataclass(frozen=True, slots=True)
class Dot:
    offset: int


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Fields:
    """`base.A.B`: `.A.B` has the dot as its base."""

    base: Operand
    names: tuple[str, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by `|`: each is its operands, the first one called with the others."""

    commands: tuple[tuple[Operand, ...], ...]
    offset: int


Operand = Literal | Dot | Variable | Function | Fields | Pipeline


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline to print, or (`names`) to put into variables; `declare`: `:=` rather than `=`."""

    pipeline: Pipeline
    names: tuple[str, ...] = ()
    declare: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """`kind` is if, with or range."""

    kind: str
    head: Action
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """`kind` is break or continue."""

    kind: str


Node = Text | Action | Branch | Jump
