"""Every test that a page of docs names exists, and every row of the language's table names one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
CASES = ROOT / "testdata" / "dockerfile"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)(?:::(\w+))?(?:\[([^\]`]+)\])?`((?: `\[[^\]`]+\]`)*)")
_MORE = re.compile(r"`\[([^\]`]+)\]`")


@cache
def defined(path: Path) -> set[str]:
    """The tests of a file: `name`, or `Class::name`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(), str(path)).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return {name for name in found if name.rpartition("::")[2].startswith("test_")}


def missing(text: str) -> list[str]:
    """What `text` names and is not there: a file, a test in it, or the case of a table."""
    wrong = []
    for file, first, second, case, more in _NAMED.findall(text):
        name = f"{first}::{second}" if second else first
        path = ROOT / file
        if not path.is_file() or name not in defined(path):
            wrong.append(f"{file}::{name}")
            continue
        for one in filter(None, [case, *_MORE.findall(more)]):
            if not (CASES / one).is_dir() and f'"{one}"' not in path.read_text():
                wrong.append(f"{file}::{name}[{one}]")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    assert missing(page.read_text()) == []


def test_a_name_that_does_not_exist_is_noticed() -> None:
    cases = "tests/builder/dockerfile/test_cases.py::test_case"
    names = ["tests/test_docs.py::test_nope", "tests/nope.py::test_x", f"{cases}[nope]"]
    assert missing(" ".join(f"`{name}`" for name in names) + f" `{cases}[mounts]` `[bad-nope]`") == [
        *names, f"{cases}[bad-nope]",
    ]  # fmt: skip


def test_every_row_of_the_language_names_a_test() -> None:
    lines = (ROOT / "docs" / "dockerfile.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and line != "| what | shown by |"]
    assert len(rows) > 50 and not [row for row in rows if not _NAMED.search(row)]
