"""Our parser reads files as BuildKit's own does (the PyPI package `dockerfile` is that parser as a wheel): more than a
thousand real files' shapes, generated files, and the cases of testdata/dockerfile."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builder.dockerfile.heredoc import parse_heredoc
from builder.dockerfile.parser import parse
from builder.dockerfile.source import DockerfileError
from builder.dockerfile.words import exec_form
from tests.suites import dockerfiles, readings
from tests.suites.dockerfiles import differing

CASES = Path(__file__).parents[3] / "testdata" / "dockerfile"


def test_real_and_generated_files_are_read_as_by_buildkit_but_for_what_is_explained() -> None:
    # The wheel takes text only.
    cases = [path.read_bytes() for path in CASES.glob("*/Dockerfile") if path.parent.name != "bad-not-utf8"]
    files = {*dockerfiles.shapes(), *dockerfiles.generated(), *cases}
    understood = [data for data in files if readings.theirs(data)]
    assert len(understood) > 2900
    _, explained = dockerfiles.explained()
    texts = {dockerfiles.name_of(data) for data in files}
    # Of the explained real files only the shape is here; scripts/harvest-dockerfiles compares the files themselves.
    assert differing(list(files)).keys() == {name for name in explained if name in texts}
    assert {one.sha256[:16] for one in dockerfiles.real()} >= explained.keys() - texts


def test_a_file_that_is_read_otherwise_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.dockerfile.lexer.SPACES", " ")
    assert len(differing(dockerfiles.shapes())) > 20


def test_the_list_of_real_files_names_each_once() -> None:
    real = dockerfiles.real()
    assert len(real) > 1500 and len({one.repository for one in real}) > 25
    assert len({one.sha256 for one in real}) == len(real) == len({one[:3] for one in real})
    assert len(set(dockerfiles.shapes())) > 1500
    assert sum(one.reading == "refused" for one in real) < 10


def test_each_difference_has_a_kind_that_is_explained() -> None:
    kinds, files = dockerfiles.explained()
    assert {one.kind for one in files.values()} == set(kinds) and all(one.why for one in files.values())


def test_real_files_are_harvested_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "some+one" / "repo"
    git = ["git", "-C", str(mirror), "-c", "user.name=a", "-c", "user.email=a@b"]
    mirror.mkdir(parents=True)
    (mirror / "Dockerfile").write_text("FROM a\nRUN b\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    data = (mirror / "Dockerfile").read_bytes()
    good = dockerfiles.Real(
        "some/one", commit, "Dockerfile", dockerfiles.sha256(data), readings.digest(readings.theirs(data))
    )
    bad = [good._replace(sha256="0" * 64), good._replace(reading="0" * 16)]
    monkeypatch.setattr(dockerfiles, "real", lambda: [good, *bad])
    assert dockerfiles.compare(tmp_path) == 2


def test_a_shape_has_no_text_but_all_the_syntax() -> None:
    text = b'FROM golang:1.21 AS build # x\nCOPY --from=build --odd=1 /a/Bc \\\n  ["\\n"]\n'
    assert dockerfiles.shape(text) == b'FROM x:0.0 AS x # x\nCOPY --from=x --x=0 /x/X \\\n  ["\\n"]\n'


NAMES = ["RUN", "run", "COPY", "ADD", "ENV", "LABEL", "ARG", "CMD", "ENTRYPOINT", "EXPOSE", "VOLUME", "HEALTHCHECK",
         "USER", "WORKDIR", "STOPSIGNAL", "SHELL", "MAINTAINER", "FROM"]  # fmt: skip
TEXTS = st.text("ab =\"'\\$`[]{},:-\t#<1é", max_size=12)
ARGUMENTS = st.one_of(
    TEXTS,
    st.sampled_from(
        ['["a", "b c"]', '["a\\"b"]', "[]", "[a]", "a=b c='d e'", 'a="b\\"c" d=e\\ f', "--from=x a b", '--a="b c" d', "-- --x",
         "<<EOF", "<<-E /x", '<<"E" <<F /y', "3<<EOF cat", "a b c", "CMD x", 'CMD ["x"]', "NONE", "$x ${y:-z}"]
    ),
)  # fmt: skip
ENDS = st.sampled_from(
    ["\n", "\n", "\n", "\r\n", " \\\n", "\\ \t\n", "\\\n\n", "\\\n# c\n", "\nEOF\n", "\n\tE\n", "\nE\nF\n", "\n\n"]
)
LINES = st.builds(lambda name, gap, args, end: name + gap + args + end, st.sampled_from(NAMES),
                  st.sampled_from([" ", "  ", "\t", " \\\n"]), ARGUMENTS, ENDS)  # fmt: skip
HEADS = st.sampled_from(
    ["", "# escape=`\n", "# syntax=x\n# escape=\\\n", "#\n# escape=`\n", "\ufeff", "\n", "  # Escape = `\n"]
)


@settings(max_examples=400, deadline=None)
@given(HEADS, st.lists(LINES, max_size=5))
def test_random_files_are_read_as_by_buildkit(head: str, lines: list[str]) -> None:
    data = (head + "".join(lines)).encode()
    expected = readings.theirs(data)
    assume(expected is not None and not _known_to_differ(data, expected))
    assert readings.ours(data) == expected


def _known_to_differ(data: bytes, expected: readings.Reading) -> bool:
    """What testdata/dockerfiles/differences explains, and two things that only random text does: a line of continuations
    alone has no name and is an error here; in flags the wheel takes UTF-8 apart into its bytes."""
    flags = b"--" in data and (b"escape" in data.lower() or not data.isascii())
    whole = any(one[4] for one in expected) and any(
        not _is_whole(one.original or "") for one in readings.commands(data)
    )
    return flags or whole or any(not one[0] for one in expected)


def _is_whole(line: str) -> bool:
    return "[" not in line or exec_form(line[line.index("[") :].strip()) is not None


@settings(max_examples=400, deadline=None)
@given(HEADS, st.lists(st.one_of(LINES, TEXTS.map(lambda text: text + "\n")), max_size=6))
def test_no_file_makes_the_parser_fail_otherwise_than_with_its_error(head: str, lines: list[str]) -> None:
    try:
        parse((head + "FROM a\n" + "".join(lines)).encode(), "Dockerfile")
    except DockerfileError as error:
        assert error.message.startswith("Dockerfile:")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_dockerfile_or_an_error(data: bytes) -> None:
    try:
        parse(data, "Dockerfile")
    except DockerfileError as error:
        assert error.message.startswith("Dockerfile:")


def test_a_heredoc_word_is_recognised() -> None:
    assert parse_heredoc("<<EOF") and not parse_heredoc("< <EOF")
