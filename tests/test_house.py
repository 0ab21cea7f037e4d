"""The shape of the house is a test: imports look strictly down, and every folder is shipped."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = [
    {"core"}, {"image"}, {"layer", "store"}, {"snapshot"}, {"images", "registry", "network"}, {"runtime"}, {"builder"},
    {"compose"}, {"engine"}, {"cli"}, {"lamella"},
]  # fmt: skip
ROW = {folder: number for number, row in enumerate(ROWS) for folder in row}
FORBIDDEN = {("builder", "registry"), ("builder", "network")}
# What must not be loaded before it is needed: start-up is a feature.
MAX_LINES = 500
FOLDERS = sorted(folder for folder in ROW if (ROOT / folder).is_dir())


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_look_strictly_down(folder: str) -> None:
    upward = []
    for path in (ROOT / folder).rglob("*.py"):
        for name in imported(path):
            top = name.partition(".")[0]
            if top in ROW and top != folder and (ROW[top] >= ROW[folder] or (folder, top) in FORBIDDEN):
                upward.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not upward


def test_only_cli_sees_the_registry_server() -> None:
    seen = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in FOLDERS
        if folder not in ("cli", "lamella")
        for path in (ROOT / folder).rglob("*.py")
        if "registry/server" not in str(path)
        for name in imported(path)
        if name.startswith("registry.server")
    ]
    assert not seen


def test_only_cli_reads_the_environment_or_prints() -> None:
    guilty = []
    for folder in FOLDERS:
        if folder in ("cli", "lamella"):
            continue
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in ("print", "input")
                ):
                    guilty.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.func.id}()")
                if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and path.name != "process.py":
                    guilty.append(f"{path.relative_to(ROOT)}:{node.lineno} os.{node.attr}")
    assert not guilty


def test_every_folder_is_shipped() -> None:
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    for folder in FOLDERS:
        assert folder in include and f"{folder}.*" in include, f"pyproject.toml does not ship {folder}"
        for directory in {path.parent for path in (ROOT / folder).rglob("*.py")}:
            assert (directory / "__init__.py").exists(), f"{directory} is no package"


def test_every_folder_is_compiled_before_its_first_start() -> None:
    compiled = set((ROOT / "scripts/compile").read_text().split())
    assert not {*FOLDERS, "lamella"} - compiled, (
        "a start compiles these anew each time where Python may write no bytecode"
    )


def test_every_folder_says_what_it_is_for() -> None:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_files_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in [*FOLDERS, "tests", "bench"]
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long


def test_no_folder_bears_a_name_of_the_standard_library() -> None:
    import sys

    assert not [folder for folder in FOLDERS if folder in sys.stdlib_module_names]
