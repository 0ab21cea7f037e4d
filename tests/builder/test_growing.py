"""What grows with a Dockerfile's instructions is shared, so that a long one is planned in time that grows with its length."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.checks.verdict import options_for, verdict
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.parser import parse
from builder.growing import Log, Names
from builder.plan import Planner
from builder.request import BuildRequest

VALUES = st.dictionaries(st.sampled_from("abcd"), st.none() | st.sampled_from("123"), max_size=3)
# Which of those that are there is grown on, and with what.
GROWTH = st.lists(st.tuples(st.integers(0, 30), VALUES), max_size=30)


@given(GROWTH)
def test_names_are_like_dictionaries_whoever_grows_on_whom(growth: list[tuple[int, dict[str, str | None]]]) -> None:
    grown: list[tuple[Names, dict[str, str]]] = [(Names({"a": "0"}), {"a": "0"})]
    for place, values in growth:
        names, plain = grown[place % len(grown)]
        after = {name: value for name, value in {**plain, **values}.items() if value is not None}
        grown.append((names.changed(values), after))
    for names, plain in grown:
        assert dict(names) == plain and len(names) == len(plain)
        assert [names.get(name) for name in "abcd"] == [plain.get(name) for name in "abcd"]


@given(st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(), max_size=3)), max_size=30))
def test_logs_are_like_tuples_whoever_grows_on_whom(growth: list[tuple[int, list[int]]]) -> None:
    grown: list[tuple[Log[int], tuple[int, ...]]] = [(Log([0]), (0,))]
    for place, items in growth:
        log, plain = grown[place % len(grown)]
        grown.append((log.added(*items), (*plain, *items)))
    for log, plain in grown:
        assert tuple(log) == plain and log[-1] == plain[-1] and list(log[1:]) == list(plain[1:])


def test_names_keep_the_order_in_which_they_came() -> None:
    first = Names({"b": "1"}).changed({"a": "2"})
    assert list(first.changed({"b": "3"})) == ["b", "a"] and list(first.changed({"c": "4"})) == ["b", "a", "c"]


LINES: dict[str, Callable[[int], str]] = {
    "variables": lambda n: f"ENV NAME{n}=value",
    "one variable": lambda n: f"ENV NAME=value{n}",
    "a variable of the one before": lambda n: f"ENV NAME{n}=${{NAME{n - 1}:-none}}",
    "labels": lambda n: f"LABEL name{n}=value",
    "arguments": lambda n: f"ARG NAME{n}=value",
    "an argument and a variable": lambda n: f"ARG NAME=value{n}" if n % 2 else "ENV NAME=value",
    "ports": lambda n: f"EXPOSE {n + 1}",
    "volumes": lambda n: f"VOLUME /volume{n}",
    "triggers": lambda n: f"ONBUILD LABEL name{n}=value",
    "copies": lambda n: f"COPY file{n} /there/",
    "directories": lambda n: f"WORKDIR /there/{n}",
    "what is undefined": lambda n: f"ENV NAME{n % 2000}=$OTHER{n}",
    "a mix": lambda n: (f"ENV NAME{n}=$NAME{n - 3}", f"LABEL name{n}=$NAME{n - 1}", f"COPY file{n} /there/")[n % 3],
}


@pytest.mark.parametrize("lines", LINES)
def test_planning_and_checking_grow_with_the_file(lines: str) -> None:
    once, fourfold = (min(_seconds(LINES[lines], count) for _ in range(2)) for count in (1000, 4000))
    # What grows with the square takes sixteen times.
    assert fourfold < 9 * once + 0.05


def _seconds(line: Callable[[int], str], count: int) -> float:
    text = "\n".join(["FROM scratch", *map(line, range(count))]).encode()
    started = time.process_time()
    dockerfile = parse(text, "Dockerfile")
    request = BuildRequest(text, "Dockerfile", Path("/"))
    planner = Planner(request, dockerfile, lambda name, platform: pytest.fail("there is no image"))
    planner.plan().state.config.to_json()
    verdict(request, dockerfile, planner, Ignore.of(()), options_for(request, dockerfile))
    return time.process_time() - started
