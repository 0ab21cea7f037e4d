"""Tables as Docker's tab-writer sets them."""

from __future__ import annotations

import pytest

from cli.output import ellipsis, labels_text, print_rows, render, table

ROWS = [
    {"ID": "1", "Name": "a", "Label": lambda name: {"x.y": "z"}.get(name, "")},
    {"ID": "22", "Name": "a long name", "Label": lambda name: ""},
]
HEADINGS = {"ID": "THE ID", "Name": "NAME"}

CASES = [
    (None, "THE ID    NAME\n1         a\n22        a long name\n"),
    ("table", "THE ID    NAME\n1         a\n22        a long name\n"),
    (r"table {{.Name}}\t{{.ID}}", "NAME          THE ID\na             1\na long name   22\n"),
    (r'table {{.ID}}\t{{.Label "x.y"}}\t{{.Name}}', "THE ID    y         NAME\n1         z         a\n22                  a long name\n"),
    (r"{{.ID}}\t{{.Name}}", "1\ta\n22\ta long name\n"),
    ("json", '{"ID":"1","Name":"a"}\n{"ID":"22","Name":"a long name"}\n'),
    ("{{json .Name}}", '"a"\n"a long name"\n'),
]  # fmt: skip


@pytest.mark.parametrize(("template", "text"), CASES, ids=[str(case[0]) for case in CASES])
def test_a_listing_is_set_as_asked(capsys: pytest.CaptureFixture[str], template: str | None, text: str) -> None:
    print_rows(ROWS, HEADINGS, ["ID", "Name"], template)
    assert capsys.readouterr().out == text


def test_columns_are_at_least_ten_wide_and_three_apart() -> None:
    assert table([["A", "B"], ["1234567", "x"], ["", ""]]) == "A         B\n1234567   x\n          \n"
    assert table([["A", "B"], ["12345678", "x"]]) == "A          B\n12345678   x\n"


def test_what_a_terminal_would_take_for_a_command_is_not_shown() -> None:
    assert table([["A", "B"], ["\x1b[2J", "\x9bé\tü\n"]]) == "A         B\n?[2J      ?é?ü\n\n"


def test_json_is_compact_and_keeps_every_character() -> None:
    assert render("json", {"b": "<é>", "a": [1, None]}) == '{"b":"<é>","a":[1,null]}'


def test_labels_and_long_texts_are_shortened() -> None:
    assert labels_text({"b": "2", "a": "1"}) == "a=1,b=2" and labels_text(None) == ""
    assert ellipsis("abcdef", 4) == "abc…" and ellipsis("abcd", 4) == "abcd"
