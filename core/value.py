"""Frozen values, as `dataclasses` gives them, without its price at start.

`@dataclass` compiles half a dozen functions for each class, 0.5 ms a class; a build imports a hundred. `Value` shares
one set of methods among all of them. Type checkers see the fields through `dataclass_transform` (PEP 681).
"""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar, dataclass_transform

    V = TypeVar("V", bound="Value")
else:

    def dataclass_transform(**options):
        return lambda cls: cls


class _Missing:
    pass


def field(
    *,
    default: Any = _Missing,
    default_factory: Callable[[], Any] | None = None,
    compare: bool = True,
    hash: bool = True,
    repr: bool = True,
) -> Any:
    """What is special about a field: a default made for each instance; left out of `==` and hash (`compare`), of the hash
    alone (`hash`, for what cannot be hashed), or of what is printed (`repr`)."""
    return _FieldSpec(default, default_factory, compare, hash, repr)


class _FieldSpec:
    __slots__ = ("compare", "default", "factory", "hash", "repr")

    def __init__(self, default: Any, factory: Callable[[], Any] | None, compare: bool, hash: bool, repr: bool) -> None:
        self.default, self.factory, self.compare, self.hash, self.repr = default, factory, compare, hash, repr


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """Derive a class with annotated fields from it: instances are frozen, compared and hashed by value."""

    _fields: ClassVar[tuple[str, ...]] = ()
    _factories: ClassVar[dict[str, Callable[[], Any]]] = {}
    _compared: ClassVar[tuple[str, ...]] = ()
    _hashed: ClassVar[tuple[str, ...]] = ()
    _shown: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._factories = dict(cls._factories)
        lists: dict[str, list[str]] = {n: list(getattr(cls, n)) for n in ("_fields", "_compared", "_hashed", "_shown")}
        for name, kind in vars(cls).get("__annotations__", {}).items():
            if str(kind).startswith(("ClassVar", "typing.ClassVar")):
                continue
            spec = cls.__dict__.get(name)
            spec = spec if isinstance(spec, _FieldSpec) else None
            wanted = {"_fields": True, "_compared": not spec or spec.compare, "_hashed": not spec or (spec.compare and spec.hash),
                      "_shown": not spec or spec.repr}  # fmt: skip
            for key, names in lists.items():
                if wanted[key] and name not in names:
                    names.append(name)
            if spec:
                cls._settle(name, spec)
        for key, names in lists.items():
            setattr(cls, key, tuple(names))

    @classmethod
    def _settle(cls, name: str, spec: _FieldSpec) -> None:
        if spec.factory:
            cls._factories[name] = spec.factory
        if spec.default is _Missing:
            delattr(cls, name)
        else:
            setattr(cls, name, spec.default)

    def __init__(self, *values: Any, **named: Any) -> None:
        fields, data = self._fields, self.__dict__
        if tuple(named) == fields:  # all of them, in their order: as whatever reads thousands gives them
            data.update(named)
            self.__post_init__()
            return
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} values, {len(values)} were given")
        data.update(zip(fields, values, strict=False))
        for name in fields[len(values) :]:
            if name in named:
                data[name] = named.pop(name)
            elif name in self._factories:
                data[name] = self._factories[name]()
            elif hasattr(type(self), name):
                data[name] = getattr(type(self), name)
            else:
                raise TypeError(f"{type(self).__name__} lacks a value for {name!r}")
        if named:
            raise TypeError(f"{type(self).__name__} has no place for {', '.join(named)}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Called once all fields are there; for checks."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        mine, others = self.__dict__, other.__dict__
        return all(mine[name] == others[name] for name in self._compared)

    def __hash__(self) -> int:
        data = self.__dict__
        return hash((type(self), *(data[name] for name in self._hashed)))

    def __repr__(self) -> str:
        data = self.__dict__
        return f"{type(self).__name__}({', '.join(f'{name}={data[name]!r}' for name in self._shown)})"


def replace(value: V, **changes: Any) -> V:
    """A copy of `value` with the named fields changed."""
    fields = {name: value.__dict__[name] for name in value._fields}
    return type(value)(**(fields | changes))
