"""podman pulls from our registry what skopeo put there, pushes it back, and runs it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.conftest import Run
from tests.conftest import needs
from tests.suites.layouts import Layout, tar_of
from tests.suites.served import Served

pytestmark = needs("podman", "skopeo", "busybox", "runc")


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[tuple[object, ...]]:
    """podman with a store of its own; its run root must have a short name."""
    with tempfile.TemporaryDirectory(prefix="pod") as short:
        runc = shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin")
        yield (
            "podman", "--root", tmp_path / "podman", "--runroot", short, "--storage-driver", "vfs", "--runtime", runc,
            "--cgroup-manager", "cgroupfs",
        )  # fmt: skip


def test_podman_pulls_runs_and_pushes(served: Served, run: Run, podman: tuple[object, ...], tmp_path: Path) -> None:
    layout = Layout(tmp_path / "layout")
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    files = {"bin/busybox": busybox, "etc/passwd": b"root:x:0:0::/:/bin/sh\n"}
    layout.name(x=layout.image(tar_of(files), command=("/bin/busybox", "echo", "hello")))
    name = f"127.0.0.1:{served.port}/podman/app"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout.path}:x", f"docker://{name}:1")
    run(*podman, "pull", "-q", "--tls-verify=false", f"{name}:1")
    assert "hello" in run(
        *podman,
        "run",
        "--rm",
        "--network",
        "none",
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
        f"{name}:1",
    )
    run(*podman, "tag", f"{name}:1", f"{name}:2")
    run(*podman, "push", "-q", "--tls-verify=false", f"{name}:2")
    assert served.ask("GET", "/v2/podman/app/tags/list").json["tags"] == ["1", "2"]
    run(*podman, "rmi", "-f", f"{name}:1", f"{name}:2")
    run(*podman, "pull", "-q", "--tls-verify=false", f"{name}:2")
    assert json.loads(run(*podman, "image", "inspect", f"{name}:2"))[0]["Config"]["Cmd"][2] == "hello"
