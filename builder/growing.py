"""Sequences and mappings that are never changed, and of which a longer one costs the same however long they are.

All that grew from one another share one store, each with the length that it had then. Who grows one that another has
already grown on goes on with a copy. For one thread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TypeVar, overload

T = TypeVar("T")


class Log(Sequence[T]):
    """A sequence that grows at its end."""

    __slots__ = ("_length", "_shared")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._shared = list(items)
        self._length = len(self._shared)

    def added(self, *items: T) -> Log[T]:
        """This one with `items` at its end."""
        longer: Log[T] = Log()
        longer._shared = self._shared if len(self._shared) == self._length else self._shared[: self._length]
        longer._shared += items
        longer._length = self._length + len(items)
        return longer

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int, /) -> T: ...
    @overload
    def __getitem__(self, place: slice, /) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice, /) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self._shared[number] for number in range(*place.indices(self._length))]
        return self._shared[range(self._length)[place]]


class Names(Mapping[str, str]):
    """Values by name, in the order in which the names first came."""

    __slots__ = ("_changes", "_shared")

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        # Each name's values with the number of the change that brought them, the oldest first; None: it was taken away.
        self._shared = _Shared({name: [(0, value)] for name, value in (values or {}).items()})
        self._changes = 0

    def changed(self, values: Mapping[str, str | None]) -> Names:
        """This one with other `values`; a name whose value is None is taken away."""
        shared = self._shared if self._shared.changes == self._changes else Names(self)._shared
        shared.changes += 1
        for name, value in values.items():
            shared.values.setdefault(name, []).append((shared.changes, value))
        longer = Names()
        longer._shared, longer._changes = shared, shared.changes
        return longer

    def _find(self, name: str) -> str | None:
        values = self._shared.values.get(name, [])
        place = bisect_right(values, self._changes, key=itemgetter(0))
        return values[place - 1][1] if place else None

    def __getitem__(self, name: str) -> str:
        value = self._find(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._shared.values if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Shared:
    """What `Names` that grew from one another have in common."""

    __slots__ = ("changes", "values")

    def __init__(self, values: dict[str, list[tuple[int, str | None]]]) -> None:
        self.values = values
        self.changes = 0
