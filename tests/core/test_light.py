"""What stands in for slow modules of the standard library does what they do."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import plain_json
from core.clock import _parse_any, _parse_own, format_instant
from core.words import is_name
from tests.conftest import ROOT

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.booleans(), st.booleans())
def test_json_is_written_as_json_writes_it(value: object, sort: bool, escaped: bool) -> None:
    for separators in ((", ", ": "), (",", ":")):
        options = {"sort_keys": sort, "ensure_ascii": escaped, "separators": separators}
        assert plain_json.dumps(value, **options) == json.dumps(value, **options)  # type: ignore[arg-type]


@given(VALUES, st.sampled_from(["", " ", "\r\n\t "]))
def test_json_is_read_as_json_reads_it(value: object, around: str) -> None:
    text = f"{around}{json.dumps(value)}{around}"
    for written in (text, text.encode(), text.encode("utf-16"), text.encode("utf-8-sig")):
        assert repr(plain_json.loads(written)) == repr(json.loads(written))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[1,]",
        '{"a":1}x',
        "'a'",
        '"\t"',
        "\ufeff{}",
        b"\xff",
        '"\\ud800"',
        "1e999",
        "-",
        '{"a" 1}',
        "\x0b1",
    ],
)
def test_json_says_what_json_says_of_what_is_none(text: str | bytes) -> None:
    try:
        wanted: object = json.loads(text)
    except ValueError as error:
        with pytest.raises(type(error)) as found:
            plain_json.loads(text)
        assert str(found.value) == str(error)
    else:
        assert plain_json.loads(text) == wanted


def test_json_refuses_what_json_refuses_to_write() -> None:
    for value, error in (({1, 2}, TypeError), (looped(), ValueError)):
        with pytest.raises(error):
            plain_json.dumps(value)


def looped() -> list[object]:
    loop: list[object] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("text", "fine"),
    [("a", True), ("A.b_c-9", True), ("9" * 8, True), ("9" * 9, False), ("", False), (".a", False), ("a b", False),
     ("_a", False), ("é", False), ("a\n", False)],
)  # fmt: skip
def test_a_name_has_letters_and_few_marks(text: str, fine: bool) -> None:
    assert is_name(text, 8) is fine
    assert is_name("_a", 8, first="_")


@given(
    st.integers(-62_135_596_800, 253_402_300_799), st.sampled_from([0, 1, 10, 123_456_789, 999_999_999, 500_000_000])
)
def test_an_instant_of_our_own_is_read_as_any_other(second: int, fraction: int) -> None:
    instant = second * 10**9 + fraction
    text = format_instant(instant)
    assert _parse_own(text) == instant == _parse_any(text)


@pytest.mark.parametrize(
    "text", ["2026-02-30T00:00:00Z", "2026-02-28t00:00:00Z", "2026-02-28T00:00:00.10Z", "", "2026-02-28T00:00:00+02:00"]
)
def test_another_s_instant_is_none_of_our_own(text: str) -> None:
    assert _parse_own(text) is None


def test_pathlib_does_all_it_can_when_it_was_loaded_lightly() -> None:
    program = (
        "import sys; from core.lightly import load_pathlib; load_pathlib(); from pathlib import Path, PureWindowsPath\n"
        "slow = {'re', 'fnmatch', 'urllib.parse'}; assert not slow & set(sys.modules), slow & set(sys.modules)\n"
        "import re, urllib.parse; assert re.match('a', 'a') and urllib.parse.quote_from_bytes(b'%') == '%25'\n"
        "here = Path('core').absolute(); print(here.as_uri().startswith('file:///'), (here / 'a b').as_uri()[-5:],"
        " here.match('*or?'), len(list(here.glob('lightly.p*'))), len(list(here.rglob('lightly.py'))),"
        " PureWindowsPath('C:\\\\a') == PureWindowsPath('c:/A'), PureWindowsPath('C:/a b').as_uri())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "a%20b", "True", "1", "1", "True", "file:///C:/a%20b"]
