"""crane and oras, of which most of the Go world is made, against our registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.conftest import Run
from tests.suites.go_tools import go_tool
from tests.suites.layouts import Layout
from tests.suites.served import Served

Tool = Callable[..., str]


def tool(run: Run, name: str) -> Tool:
    program = go_tool(name)
    if program is None:
        pytest.skip(f"needs Go and a network once, to build {name}")
    return lambda *words, **options: run(program, *words, **options)


@pytest.fixture
def crane(run: Run) -> Tool:
    return tool(run, "crane")


@pytest.fixture
def oras(run: Run) -> Tool:
    return tool(run, "oras")


def test_crane_pushes_lists_copies_mutates_and_pulls(
    served: Served, layout: Layout, crane: Tool, tmp_path: Path
) -> None:
    name = f"127.0.0.1:{served.port}/crane/app"
    pushed = crane("push", layout.path, f"{name}:1", "--index").strip()
    index = json.loads(crane("manifest", f"{name}:1"))
    assert pushed.endswith(crane("digest", f"{name}:1").strip()) and len(index["manifests"]) == 2
    crane("copy", f"{name}:1", f"{name}-copy:2")  # which mounts
    crane("tag", f"{name}:1", "latest")
    assert crane("ls", name).split() == ["1", "latest"]
    assert {"crane/app", "crane/app-copy"} <= set(crane("catalog", f"127.0.0.1:{served.port}").split())
    one = f"{name}@{index['manifests'][0]['digest']}"
    crane("mutate", one, "--label", "a=b", "-t", f"{name}:labelled")
    assert json.loads(crane("config", f"{name}:labelled"))["config"]["Labels"] == {"a": "b"}
    crane("validate", "--remote", f"{name}:labelled")
    crane("pull", f"{name}:labelled", tmp_path / "pulled.tar")
    crane("delete", f"{name}:labelled")
    assert "MANIFEST_UNKNOWN" in crane("manifest", f"{name}:labelled", check=False)


def test_oras_moves_artifacts_and_finds_what_is_attached(served: Served, oras: Tool, tmp_path: Path) -> None:
    name = f"127.0.0.1:{served.port}/oras/artifact"
    (tmp_path / "hello.txt").write_text("hello")
    (tmp_path / "sbom.json").write_text("{}")
    oras("push", "--plain-http", f"{name}:1,latest", "--artifact-type", "test/thing", "hello.txt:text/plain")
    oras("attach", "--plain-http", f"{name}:1", "--artifact-type", "test/sbom", "sbom.json")
    oras("attach", "--plain-http", f"{name}:1", "--artifact-type", "test/other", "sbom.json")
    found = json.loads(
        oras("discover", "--plain-http", "--format", "json", "--artifact-type", "test/sbom", f"{name}:1")
    )
    assert [one["artifactType"] for one in found.get("manifests", found.get("referrers", []))] == ["test/sbom"]
    assert oras("repo", "tags", "--plain-http", name).split() == ["1", "latest"]
    assert "oras/artifact" in oras("repo", "ls", "--plain-http", f"127.0.0.1:{served.port}").split()
    oras("cp", "-r", "--from-plain-http", "--to-plain-http", f"{name}:1", f"{name}-copy:1")
    copied = json.loads(oras("discover", "--plain-http", "--format", "json", f"{name}-copy:1"))
    assert len(copied.get("manifests", copied.get("referrers", []))) == 2
    (tmp_path / "out").mkdir()
    oras("pull", "--plain-http", "-o", tmp_path / "out", f"{name}-copy:1")
    assert (tmp_path / "out/hello.txt").read_text() == "hello"
    oras("manifest", "delete", "--plain-http", "-f", f"{name}:1")
    assert oras("repo", "tags", "--plain-http", name).split() == []


def test_oras_resolves_blobs_and_ranges_of_tags(served: Served, oras: Tool, tmp_path: Path) -> None:
    name = f"127.0.0.1:{served.port}/oras/blobs"
    (tmp_path / "blob").write_bytes(b"x" * 100_000)
    descriptor = json.loads(oras("blob", "push", "--plain-http", "--descriptor", name, "blob"))
    oras("blob", "fetch", "--plain-http", "-o", tmp_path / "back", f"{name}@{descriptor['digest']}")
    assert (tmp_path / "back").read_bytes() == b"x" * 100_000
    oras("blob", "delete", "--plain-http", "-f", f"{name}@{descriptor['digest']}")
    assert "not found" in oras(
        "blob", "fetch", "--plain-http", "--descriptor", f"{name}@{descriptor['digest']}", check=False
    )
