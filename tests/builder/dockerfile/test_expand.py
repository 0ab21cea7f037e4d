"""Variables, quotes and escapes expand as the Dockerfile reference says."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.dockerfile.expand import Expander, ExpansionError, expand, expand_words

VARIABLES = {"x": "value", "path": "/usr/lib/foo.tar.gz", "empty": "", "words": " one  two ", "star": "a*b", "1": "one"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$x", "value"),
        ("${x}y", "valuey"),
        ("$xy", ""),
        ("$x-$x", "value-value"),
        ("\\$x", "$x"),
        ("\\\\$x", "\\value"),
        ("'$x'", "$x"),
        ('"$x"', "value"),
        ('"\\$x \\" \\n"', '$x " \\n'),
        ("a\\ b", "a b"),
        ("end\\", "end"),
        ("$", "$"),
        ("$ x", "$ x"),
        ("a$/b", "a$/b"),
        ("${empty:-w}", "w"),
        ("${empty-w}", ""),
        ("${nope-w}", "w"),
        ("${nope:-$x}", "value"),
        ("${nope:-${empty:-${x}}}", "value"),
        ("${x:-w}", "value"),
        ("${x:+w}", "w"),
        ("${empty:+w}", ""),
        ("${empty+w}", "w"),
        ("${nope+w}", ""),
        ("${x:?e}", "value"),
        ("${empty?e}", ""),
        ("${path#*/}", "usr/lib/foo.tar.gz"),
        ("${path##*/}", "foo.tar.gz"),
        ("${path%.*}", "/usr/lib/foo.tar"),
        ("${path%%.*}", "/usr/lib/foo"),
        ("${path#nope}", "/usr/lib/foo.tar.gz"),
        ("${x%?}", "valu"),
        ("${star#a\\*}", "b"),
        ("${star%\\*?}", "a"),
        ("${path/lib/LIB}", "/usr/LIB/foo.tar.gz"),
        ("${path//\\//-}", "-usr-lib-foo.tar.gz"),
        ("${path/u*r/X}", "/X.gz"),
        ("${path/?/}", "usr/lib/foo.tar.gz"),
        ("${x/[a]/b}", "value"),
        ("$1$2", "one"),
        ("${1}0", "one0"),
        ("$@", ""),
        ("$é", ""),
        ("<<EOF", "<<EOF"),
    ],
)
def test_a_word_expands(text: str, expected: str) -> None:
    assert expand(text, VARIABLES.get) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${}", "bad substitution"),
        ("${:x}", "bad substitution"),
        ("${{x}}", "bad substitution"),
        ("${", "not finished"),
        ("${x", "not finished"),
        ("${x:-", "not finished"),
        ("${x/a", "not finished"),
        ("${x:#a}", "unsupported modifier ':#'"),
        ("${x:%a}", "unsupported modifier ':%'"),
        ("${x!}", "unsupported modifier '!'"),
        ("${x#\\a}", "invalid escape"),
        ("${nope:?it must be set}", "nope: it must be set"),
        ("${nope?}", "nope: is not set"),
        ("${empty:?}", "empty: is empty"),
        ("'open", "single quote"),
        ('"open', "double quote"),
        ("${x:-" * 200, "nested"),
        ("${path//?/" + "y" * 80_000 + "}", "longer than 1 MiB"),
        ("${x}" * 250_000, "longer than 1 MiB"),
    ],
)
def test_a_wrong_word_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ExpansionError, match=message.replace("(", "\\(")):
        expand(text, VARIABLES.get)


def test_the_escape_character_can_be_a_backtick() -> None:
    assert expand("c:\\x`$x", VARIABLES.get, escape="`") == "c:\\x$x"


def test_names_without_a_value_are_reported_unless_there_is_an_alternative() -> None:
    unset: list[str] = []
    expand("$nope ${other} ${third:-x} ${fourth+x} ${fifth#x} $x $empty", VARIABLES.get, unset=unset.append)
    assert unset == ["nope", "other", "fifth"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        (" a  $words b", ["a", "one", "two", "b"]),
        ('"$words"', [" one  two "]),
        ("a\\ b 'c d' \"e f\"g", ["a b", "c d", "e fg"]),
        ("$empty", []),
        ("80${nope:- 81}", ["80", "81"]),
    ],
)
def test_words_are_split_after_expansion(text: str, expected: list[str]) -> None:
    assert expand_words(text, VARIABLES.get) == expected


def test_a_heredoc_body_keeps_its_quotes() -> None:
    body = 'echo "$x" \'$x\' \\$x ${nope:-"y"}\n'
    assert Expander(VARIABLES.get).document(body) == 'echo "value" \'value\' $x "y"\n'


NAMES = st.sampled_from(["x", "path", "empty", "nope"])
PATTERNS = st.text("abl/.*?", max_size=5)
FORMS = st.one_of(
    st.builds("${}".format, NAMES).map(lambda text: text.replace("{}", "")),
    NAMES.map(lambda name: f"${{{name}}}"),
    st.builds(lambda n, op, w: f"${{{n}{op}{w}}}", NAMES, st.sampled_from([":-", "-", ":+", "+"]), st.text("ab.", max_size=3)),
    st.builds(lambda n, op, w: f"${{{n}{op}{w}}}", NAMES, st.sampled_from(["#", "##", "%", "%%"]), PATTERNS),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(FORMS, min_size=1, max_size=4))
def test_what_a_shell_knows_too_expands_as_in_a_shell(forms: list[str]) -> None:
    # `#`, `%` at the start of a pattern are read as `##`, `%%` by both.
    text = "|".join(forms)
    done = subprocess.run(
        ["/bin/sh", "-c", f'printf %s "{text}"'], env=VARIABLES, capture_output=True, text=True, check=True, timeout=10
    )
    assert expand(text, VARIABLES.get) == done.stdout


@settings(max_examples=300, deadline=None)
@given(st.text("ab$x{}:-+?#%/'\"\\ *é\n", max_size=20))
def test_no_text_makes_expansion_fail_otherwise_than_with_its_error(text: str) -> None:
    for kind in (Expander(VARIABLES.get).text, Expander(VARIABLES.get).words, Expander(VARIABLES.get).document):
        try:
            kind(text)
        except ExpansionError as error:
            assert "\n" not in error.message or "\n" in text
