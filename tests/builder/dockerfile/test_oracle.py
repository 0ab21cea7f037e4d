"""Our parser reads files as BuildKit's own does (the PyPI package `dockerfile` is that parser as a wheel)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builder.dockerfile.heredoc import parse_heredoc
from builder.dockerfile.lexer import Lexer, Line
from builder.dockerfile.parser import parse
from builder.dockerfile.source import DockerfileError
from builder.dockerfile.words import WordsError, blank_separated, exec_form, quoted_words, split_two

oracle = pytest.importorskip("dockerfile", reason="the dev extras are not installed")

CASES = Path(__file__).parents[3] / "testdata" / "dockerfile"
JSON_OR_WORDS = ("ADD", "COPY", "VOLUME")
JSON_OR_TEXT = ("RUN", "CMD", "ENTRYPOINT", "SHELL")

COMPARED = {"FROM", "EXPOSE", "ARG", "ENV", "LABEL", "HEALTHCHECK", "USER", "WORKDIR", "STOPSIGNAL", "MAINTAINER"} | {
    *JSON_OR_WORDS, *JSON_OR_TEXT
}  # fmt: skip


def words_of(name: str, rest: str, escape: str) -> list[str]:
    """An instruction's arguments as BuildKit's parser lists them."""
    if not rest:
        return []
    if name in JSON_OR_WORDS:
        exact = exec_form(rest)
        return blank_separated(rest) if exact is None else list(exact)
    if name in JSON_OR_TEXT:
        exact = exec_form(rest)
        return [rest] if exact is None else list(exact)
    if name in ("FROM", "EXPOSE"):
        return blank_separated(rest)
    if name == "ARG":
        return quoted_words(rest, escape)
    if name in ("ENV", "LABEL"):
        return pairs_of(rest, escape)
    if name == "HEALTHCHECK":
        kind, *more = split_two(rest)
        return [kind, *words_of("CMD", more[0], escape)] if more else [kind]
    return [rest]


def pairs_of(rest: str, escape: str) -> list[str]:
    words = quoted_words(rest, escape)
    if "=" not in words[0]:
        parts = split_two(rest)
        if len(parts) < 2:
            raise WordsError("no value")
        return parts
    if not all("=" in word for word in words):
        raise WordsError("no =")
    return [part for word in words for part in word.split("=", 1)]


def ours(data: bytes) -> list[Any] | None:
    try:
        lexer = Lexer.of(data, "Dockerfile")
        lines = []
        while line := lexer.next_line():
            lines.append(fact(line, lexer.escape))
        return lines or None
    except (DockerfileError, WordsError):
        return None


def fact(line: Line, escape: str) -> Any:
    name = line.name.upper()
    docs = [(doc.name, doc.descriptor, doc.content) for doc in line.heredocs if name != "ONBUILD"]
    value = words_of(name, line.rest, escape) if name in COMPARED else []
    return name, line.span.line, line.span.end_line, list(line.flags), value, docs


def theirs(data: bytes) -> list[Any] | None:
    try:
        commands = oracle.parse_string(data.decode())
    except (oracle.GoParseError, oracle.GoIOError, UnicodeDecodeError):
        return None
    # A line of nothing but continuations has no name there, and is an error here; and the wheel is older than BuildKit's
    # change from reading the JSON value that a line begins with to reading the whole line as one.
    if any(not one.cmd or (one.json and not is_all_json(one.original)) for one in commands):
        return None
    return [their_fact(one) for one in commands]


def is_all_json(line: str) -> bool:
    return exec_form(line[line.index("[") :].strip()) is not None


def their_fact(one: Any) -> Any:
    name = one.cmd.upper()
    docs = [(doc.name, doc.file_descriptor, doc.content) for doc in one.heredocs if name != "ONBUILD"]
    flags = [] if name == "ONBUILD" else list(one.flags)
    return name, one.start_line, one.end_line, flags, list(one.value) if name in COMPARED else [], docs


@pytest.mark.parametrize("path", sorted(CASES.glob("*/Dockerfile")), ids=lambda path: path.parent.name)
def test_every_case_is_read_as_by_buildkit(path: Path) -> None:
    data = path.read_bytes()
    expected = theirs(data)
    if expected is not None:
        assert ours(data) == expected


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


@settings(max_examples=600, deadline=None)
@given(HEADS, st.lists(LINES, max_size=5))
def test_generated_files_are_read_as_by_buildkit(head: str, lines: list[str]) -> None:
    data = (head + "".join(lines)).encode()
    expected = theirs(data)
    # In flags the wheel knows no other escape than a backslash, and takes UTF-8 apart into its bytes.
    odd_flags = b"--" in data and ("escape" in head.lower() or not data.isascii())
    assume(expected is not None and not odd_flags)
    assert ours(data) == expected


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
