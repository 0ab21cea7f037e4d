"""Secrets that a step prints are unreadable on the screen and in its log, however they come in pieces."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.masking import MASK, Masked
from tests.conftest import needs


def passed(secrets: list[bytes], chunks: list[bytes]) -> bytes:
    masked = Masked(secrets)
    return b"".join([*map(masked.pass_on, chunks), masked.rest()])


@given(st.text("abc*", max_size=60).map(str.encode), st.lists(st.text("ab", min_size=4, max_size=9).map(str.encode), min_size=1, max_size=3),
       st.lists(st.integers(0, 60), max_size=8))  # fmt: skip
@example(b"xaaaaby", [b"aaab", b"aaaa"], [3, 4])
def test_the_pieces_that_it_comes_in_change_nothing(text: bytes, secrets: list[bytes], cuts: list[int]) -> None:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    chunks = [text[start:end] for start, end in itertools.pairwise(places)]
    shown = passed(secrets, chunks)
    assert shown == passed(secrets, [text])
    assert not [secret for secret in secrets if secret in shown.replace(MASK, b"\n")]


@pytest.mark.parametrize(
    ("secret", "said", "shown"),
    [
        (b"hunter2", b"is hunter2 it?", b"is *** it?"),
        (b"hunter2\n", b"is hunter2 it?", b"is *** it?"),
        (b"abc", b"abc abc", b"abc abc"),
        (b"", b"abc", b"abc"),
        (b"-----BEGIN-----\nAAAABBBBCCCC\nend\n", b"x AAAABBBBCCCC\n  -----BEGIN----- end", b"x ***\n  *** end"),
        (b"\xff\xfe\x00\x01", b"a\xff\xfe\x00\x01b", b"a***b"),
        (b"aXaXaXa", b"aXaXaXaXa aXaX", b"***Xa aXaX"),
        (b"k" * 10_000, b"<" + b"k" * 10_000 + b">", b"<*********>"),
        (b"a.c*+(", b"abcc a.c*+(", b"abcc ***"),
    ],
)
def test_what_is_shown(secret: bytes, said: bytes, shown: bytes) -> None:
    assert passed([secret], [said]) == shown
    assert passed([secret], [said[n : n + 1] for n in range(len(said))]) == shown


def test_only_what_may_be_the_beginning_of_one_waits() -> None:
    masked = Masked([b"hunter2"])
    assert [masked.pass_on(b"progress 10% hu"), masked.pass_on(b"ge\n"), masked.pass_on(b"hunter"), masked.rest()] == [
        b"progress 10% ", b"huge\n", b"", b"hunter",
    ]  # fmt: skip


def test_it_takes_little_time() -> None:
    masked, chunk = Masked([os.urandom(30).hex().encode() for _ in range(100)]), os.urandom(1 << 16)
    started = time.process_time()
    for _ in range(20):
        masked.pass_on(chunk)
    assert time.process_time() - started < 5


@needs("crun")
def test_a_step_that_prints_a_secret_shows_it_nowhere(
    build: Callable[..., Any], store_root: Path, tmp_path: Path
) -> None:
    value = os.urandom(12).hex()
    (tmp_path / "key").write_text(f"{value}\n")
    text = (
        "FROM bb\nRUN --mount=type=secret,id=k cat /run/secrets/k; cat /run/secrets/k >&2; echo end\n"
        "RUN --mount=type=secret,id=k,env=K x=$K; printf %.10s $x; sleep 0.2; echo ${x#??????????}; exit 3\n"
    )
    assert value not in text
    done = build(text, f"--secret=id=k,src={tmp_path}/key", check=False)
    assert done.printed()[:3].count("***") == 2 and "end" in done.printed()
    logs = "".join(path.read_text() for path in (store_root / "builds").rglob("*.log"))
    assert value not in done.said and value not in logs and logs.count("***") == 3
    assert " > [3/3] RUN" in done.said and "***" in done.said.rpartition(" > [3/3] RUN")[2]
