"""Independent stages beside each other: sooner, with the same result, and ended together."""

from __future__ import annotations

import os
import signal
import time

import pytest

from builder.beside import Beside, Once
from runtime.streams import Stopped
from tests.conftest import needs
from tests.suites.driven import Driven

pytestmark = needs("crun")

# Each of two stages waits for a sign of the other's, which comes only if they run at the same time.
MEET = "RUN --mount=type=cache,target=/c touch /c/{}; for i in $(seq 100); do test -e /c/{} && exit 0; sleep 0.05; done; exit 9\n"
TWO = f"FROM bb AS a\n{MEET.format('a', 'b')}RUN echo a >/f\nFROM bb AS b\n{MEET.format('b', 'a')}RUN echo b >/f\n"
ENDS = {
    "copied from": "FROM scratch\nCOPY --from=a /f /a\nCOPY --from=b /f /b\n",
    "copied from by a base": "FROM scratch AS c\nCOPY --from=a /f /a\nFROM c\nCOPY --from=b /f /b\n",
    "mounted": "FROM bb\nRUN --mount=from=a,target=/a --mount=from=b,target=/b cat /a/f /b/f\n",
    "base and copied from": "FROM a\nCOPY --from=b /f /b\n",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
@pytest.mark.parametrize("option", [(), ("--no-cache",)], ids=["", "no cache"])
def test_two_stages_meet(build, end, option):
    assert build(TWO + end, "--jobs=2", *option).code == 0


def test_a_stage_runs_beside_the_one_that_will_copy_from_it(build):
    text = f"FROM bb AS a\n{MEET.format('a', 'b')}RUN echo a >/f\nFROM bb\n{MEET.format('b', 'a')}COPY --from=a /f /a\n"
    assert build(text, "--jobs=2").code == 0


def test_one_job_does_one_step_after_the_other(build):
    done = build(TWO + ENDS["copied from"], "--jobs=1", check=False)
    assert done.code == 1 and "exit code: 9" in done.said


def test_the_result_does_not_depend_on_who_was_first(build):
    text = (
        "".join(f"FROM bb AS s{n}\nRUN sleep 0.0{n}; echo {n} >/f; touch -d @1 /f /\n" for n in range(6))
        + "FROM scratch\n"
    )
    text += "".join(f"COPY --from=s{n} /f /f{n}\n" for n in range(6))
    layers = {tuple(build(text, "--no-cache", f"--jobs={jobs}").config.diff_ids) for jobs in (1, 2, 6)}
    assert len(layers) == 1
    done = build(text)
    assert [line for line in done.steps if line.startswith(("RUN", "COPY")) and not line.endswith("CACHED")] == []


def test_what_one_says_is_told_apart_from_what_the_other_says(build, store_root):
    text = "FROM bb AS a\nRUN for i in $(seq 30); do echo from-a; sleep 0.01; done; touch /f\nFROM bb AS b\nRUN for i in $(seq 30); do echo from-b; sleep 0.01; done; touch /f\n"
    done = build(text + ENDS["copied from"], "--jobs=2")
    numbers = {
        word: {line.split()[0] for line in done.said.splitlines() if line.endswith(f" {word}")}
        for word in ("from-a", "from-b")
    }
    assert all(len(found) == 1 for found in numbers.values()) and numbers["from-a"] != numbers["from-b"]
    logs = sorted(path.read_text() for path in store_root.glob("builds/*/*RUN*.log") if "from-" in path.read_text())
    assert logs == ["from-a\n" * 30, "from-b\n" * 30]


def test_the_failure_of_one_ends_the_other_and_is_what_is_told(build, store_root):
    mark = f"sleep 1{time.monotonic_ns()}"
    driven = Driven(store_root, mark=mark.replace(" ", "\0"))
    for quick, slow in (("a", "b"), ("b", "a")):
        stages = {quick: "RUN echo said; sleep 0.3; exit 42\n", slow: f"RUN {mark}\n"}
        text = "".join(f"FROM bb AS {name}\n{stages[name]}" for name in "ab") + ENDS["copied from"]
        started = time.monotonic()
        done = build(text, "--jobs=2", check=False)
        assert time.monotonic() - started < 30
        assert done.code == 1 and done.said.count("lamella: ") == 1 and "exit code: 42" in done.said
        assert ">>> RUN echo said" in done.said and "canceled" in done.said
        driven.settle()
        assert not os.listdir(store_root / "snapshots")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_both_and_leaves_nothing(base, context, store_root, number):
    driven = Driven(store_root)
    (context / "Dockerfile").write_text(
        "FROM bb AS a\nRUN --mount=type=cache,target=/c,sharing=locked touch /c/a; sleep 1000\n"
        "FROM bb AS b\nRUN --mount=type=cache,target=/d --mount=target=/s,rw touch /d/b; sleep 1000\n"
        + ENDS["copied from"]
    )
    with driven.start("build", "--jobs=2", context) as process:
        _until(lambda: len(list(store_root.glob("caches/*/data/?"))) == 2)
        process.send_signal(number)
        said = process.communicate(timeout=20)[1]
    assert process.returncode in (130, 143, -9) and "Traceback" not in said
    driven.settle()
    mounts = "--mount=type=cache,target=/c,sharing=locked --mount=type=cache,target=/d"
    (context / "Dockerfile").write_text(f"FROM bb\nRUN {mounts} ls /c /d\n")
    assert " b\n" in driven.end("build", context, seconds=20).err
    assert list(driven.emptied()) == [] and not os.listdir(store_root / "caches")


def _until(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class TestThreads:
    def test_what_two_want_one_finds(self) -> None:
        once, found, beside = Once(), [], Beside(3)

        def find() -> int:
            time.sleep(0.05)
            found.append(1)
            return len(found)

        for _ in range(3):
            beside.start(lambda: once.get("key", find))
        beside.close()
        assert once.get("key", find) == 1 and len(found) == 1 and "key" in once and "other" not in once

    def test_the_first_failure_counts_and_stops_the_others(self) -> None:
        beside, first = Beside(2), ValueError("first")
        assert beside.fail(first) is first and beside.fail(KeyError()) is first and beside.stop.is_set()
        for wait in (beside.check, beside.pause, lambda: beside.turn().__enter__()):
            with pytest.raises(Stopped):
                wait()
        beside.close()


MEETING = "touch /m/$BUILD; until test -e /m/x && test -e /m/y; do sleep 0.02; done; "


@pytest.mark.parametrize(
    ("sharing", "meeting", "logs"),
    [
        ("locked", "", [["xxxxx", "yyyyy"], ["yyyyy", "xxxxx"]]),
        ("private", MEETING, [["xxxxx"], ["yyyyy"]]),
        ("shared", MEETING, []),
    ],
)
def test_two_builds_take_turns_or_get_directories_of_their_own(base, context, store_root, sharing, meeting, logs):
    driven = Driven(store_root)
    mounts = f"--mount=type=cache,target=/c,sharing={sharing} --mount=type=cache,target=/m"
    work = f"{meeting}for n in 1 2 3 4 5; do echo -n $BUILD >>/c/log; sleep 0.05; done; echo >>/c/log"
    (context / "Dockerfile").write_text(f"FROM bb\nARG BUILD\nRUN {mounts} {work}\n")
    builds = [driven.start("build", "-q", "--no-cache", f"--build-arg=BUILD={name}", context) for name in "xy"]
    for build in builds:
        with build:
            assert build.communicate(timeout=60) and build.returncode == 0
    found = sorted(path.read_text().split() for path in store_root.glob("caches/*/data/log"))
    if sharing == "shared":
        assert len(found) == 1 and sorted("".join(found[0])) == ["x"] * 5 + ["y"] * 5
    else:
        assert found == logs or found[0] in logs
