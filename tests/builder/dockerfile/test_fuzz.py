"""No text makes the language fail otherwise than with its error, or take more than time in proportion to its size."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.dockerfile.expand import Expander, expand, expand_words
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.parser import parse
from core.errors import InvalidInput
from tests.suites import dockerfiles

ROOT = Path(__file__).parents[3]
SIGNS = "ab$ {}:-+?#%/*\\\"'`<\n\t=[]!.é"
VALUES = {"a": "1", "b": "", "ab": "a/b.a.b"}


HAS_ATHERIS = pytest.mark.skipif(
    not importlib.util.find_spec("atheris"), reason="atheris has no wheel for this machine"
)


@HAS_ATHERIS
def test_a_guided_fuzzer_finds_nothing(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    cases = [path.read_bytes() for path in (ROOT / "testdata/dockerfile").glob("*/Dockerfile")]
    for number, data in enumerate([*cases, *dockerfiles.shapes()[::20], *dockerfiles.generated(200)]):
        if len(data) < 4096:
            (corpus / str(number)).write_bytes(data)
    words = ["-max_total_time=8", "-seed=1", "-print_final_stats=1", f"-artifact_prefix={tmp_path}/", str(corpus)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.suites.fuzzed", *words], cwd=ROOT, capture_output=True, text=True, timeout=150,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (runs,) = [
        line.split()[-1] for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")
    ]
    assert int(runs) > 500


@HAS_ATHERIS
def test_the_fuzzer_would_tell(tmp_path: Path) -> None:
    broken = "import tests.suites.fuzzed as f, sys\nf.ignore = lambda data: 1 / (b'FROM' not in data)\nf.atheris.Setup(sys.argv, f.read); f.atheris.Fuzz()"
    (tmp_path / "seed").write_bytes(b"FROM a\n")
    done = subprocess.run(
        [sys.executable, "-c", broken, "-runs=50", f"-artifact_prefix={tmp_path}/", str(tmp_path / "seed")], cwd=ROOT, capture_output=True,
        text=True, timeout=100, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode != 0 and "ZeroDivisionError" in done.stderr + done.stdout


@settings(max_examples=300, deadline=None)
@given(st.text(SIGNS, max_size=60), st.sampled_from("\\`"))
def test_a_word_expands_or_is_one_error(text: str, escape: str) -> None:
    for way in (Expander(VALUES.get, escape).text, Expander(VALUES.get, escape).words, Expander(VALUES.get).document):
        try:
            way(text)
        except InvalidInput as error:
            assert error.message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.text("ab./é", min_size=1, max_size=20))
def test_ignore_rules_are_read_or_are_one_error(data: bytes, path: str) -> None:
    try:
        rules = Ignore.parse(data)
    except InvalidInput as error:
        assert error.message.startswith(".dockerignore:")
        return
    path = path.strip("/") or "a"
    assert rules.ignores(path) == (rules.reason(path) is not None)


def _continued(name: str) -> Callable[[int], object]:
    return lambda size: parse(f"FROM a\n{name} {'x' * 60}{' y=z' * 10}\\\n".encode() + b"y=zzzzzzz\\\n" * size, "D")


def _matched(pattern: str, path: str) -> object:
    return Ignore.of([pattern]).ignores(path)


# Each with a size that takes some hundredths of a second, and what is done with it.
WORK: dict[str, tuple[int, Callable[[int], object]]] = {
    "RUN over many lines": (4000, _continued("RUN")),
    "ENV over many lines": (2000, _continued("ENV a=")),
    "COPY over many lines": (4000, _continued("COPY")),
    "EXPOSE over many lines": (4000, _continued("EXPOSE")),
    "nothing but continuations": (20000, lambda size: parse(b"FROM a\nRUN x " + b"\\\n" * size, "D")),
    "comments in a continuation": (20000, lambda size: parse(b"FROM a\nRUN x \\\n" + b"# c\n" * size, "D")),
    "comments before an instruction": (20000, lambda size: parse(b"# c\n" * size + b"FROM a\n", "D")),
    "instructions": (2000, lambda size: parse(b"FROM a\n" + b"RUN x\n" * size, "D")),
    "heredocs": (1000, lambda size: parse(b"FROM a\n" + b"RUN <<E\nx\nE\n" * size, "D")),
    "heredocs in one line": (1000, lambda size: parse(b"FROM a\nRUN" + b" <<E" * size + b"\n" + b"E\n" * size, "D")),
    "heredocs without an end": (4000, lambda size: parse(b"FROM a\n" + b"RUN <<E\n" * size, "D")),
    "spaces in a directive": (15000, lambda size: parse(b"# escape=x" + b" " * size + b"y\nFROM a\n", "D")),
    "flags": (300, lambda size: parse(b"FROM a\nRUN " + b"--mount=type=cache,target=/a " * size + b"x\n", "D")),
    "brackets of JSON": (15000, lambda size: parse(b"FROM a\nCMD " + b"[" * size + b"\n", "D")),
    "variables": (10000, lambda size: expand("${a}x" * size, VALUES.get)),
    "words of a variable": (100, lambda size: expand_words("$a" * size, {"a": "b" * 1000}.get)),
    "braces": (15000, lambda size: expand("${a:-" * size, VALUES.get)),
    "suffixes": (20000, lambda size: expand("${a%*a*a*b*c}", {"a": "a" * size}.get)),
    "prefixes": (20000, lambda size: expand("${a##*a*a*a*b}", {"a": "a" * size}.get)),
    "replacements": (20000, lambda size: expand("${a//a*a*b/x}", {"a": "a" * size}.get)),
    "stars in a rule": (100, lambda size: _matched("*a" * size + "b", "a" * 3 * size)),
    "stars and a class": (100, lambda size: _matched("[^z]" + "*a" * 8 + "b", "a" * size)),
    "double stars and classes": (60, lambda size: _matched("**/[^z]/" * 9 + "b", "/".join("a" * size))),
    "double stars in a rule": (60, lambda size: _matched("**/a/" * size + "b", "/".join("a" * 3 * size))),
    "double stars in a row": (500, lambda size: _matched("**/" * size + "b", "/".join("a" * size))),
    "rules": (1000, lambda size: Ignore.of([f"x{n}/*" for n in range(size)]).ignores("a/b")),
}  # fmt: skip


@pytest.mark.parametrize("name", WORK)
def test_time_grows_with_the_size(name: str) -> None:
    size, work = WORK[name]
    once, fourfold = min(_seconds(work, size) for _ in range(3)), min(_seconds(work, 4 * size) for _ in range(2))
    # Four times the work; what grows with the square takes sixteen times, and a regular expression that tries all for ever.
    assert fourfold < 10 * once + 0.05


def _seconds(work: Callable[[int], object], size: int) -> float:
    started = time.process_time()
    with contextlib.suppress(InvalidInput):
        work(size)
    return time.process_time() - started
