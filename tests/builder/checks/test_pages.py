"""Each rule has a page in docs/checks whose bad example is found by that rule alone, and whose good one by none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.checks.rules import RULES
from tests.suites.checked import findings

DOCS = Path(__file__).parents[3] / "docs" / "checks"
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def test_the_pages_are_those_of_the_rules() -> None:
    assert len(RULES) == 22
    assert {path.stem for path in DOCS.glob("*.md")} == {rule.page for rule in RULES.values()} | {"README"}
    listed = re.findall(r"^\| \[(\w+)\]\(([\w-]+)\.md\)", (DOCS / "README.md").read_text(), re.MULTILINE)
    assert listed == [(rule.name, rule.page) for rule in RULES.values()]


@pytest.mark.parametrize("name", RULES)
def test_the_examples_show_what_the_page_says(name: str) -> None:
    text = (DOCS / f"{RULES[name].page}.md").read_text()
    blocks = _BLOCK.findall(text)
    bad, good = (body for kind, body in blocks if kind == "dockerfile")
    ignored = [line for kind, body in blocks if kind == "text" for line in body.split()]
    assert text.startswith(f"# {name}\n")
    assert {one.rule for one in findings(bad, args={"TAG": "1"}, ignored=ignored)} == {name}
    assert not findings(good, ignored=ignored)
