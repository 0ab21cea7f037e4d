"""docker and buildah, and umoci by way of skopeo, push to our registry and pull from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.conftest import Run
from tests.conftest import needs
from tests.suites.dockerd import CLIENT, dockerd
from tests.suites.layouts import Layout, tar_of
from tests.suites.served import Served


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with dockerd(tmp_path_factory.mktemp("docker")) as env:
        yield env


@needs("dockerd", "busybox", "runc")
def test_docker_pushes_moves_and_pulls(served: Served, docker: dict[str, str], tmp_path: Path) -> None:
    def call(*words: str, input: bytes | None = None) -> str:
        done = subprocess.run([CLIENT, *words], env=docker, capture_output=True, input=input, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout.decode()

    name = f"127.0.0.1:{served.port}/docker/app"
    call("import", "-", f"{name}:1", input=tar_of({"file": os.urandom(2 << 20), "etc/motd": b"hello"}))
    call("push", f"{name}:1")
    call("tag", f"{name}:1", f"{name}-copy:2")
    assert "Mounted from docker/app" in call("push", f"{name}-copy:2")
    assert "Layer already exists" in call("push", f"{name}:1")
    id = call("images", "-q", "--no-trunc", f"{name}:1")
    call("rmi", "-f", f"{name}:1", f"{name}-copy:2")
    call("pull", "-q", f"{name}-copy:2")
    assert call("images", "-q", "--no-trunc", f"{name}-copy:2") == id
    assert served.ask("GET", "/v2/docker/app-copy/tags/list").json["tags"] == ["2"]


@needs("buildah")
def test_buildah_builds_pushes_and_pulls(served: Served, run: Run, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="bud") as short:
        words = ("buildah", "--root", tmp_path / "buildah", "--runroot", short, "--storage-driver", "vfs")
        (tmp_path / "big").write_bytes(os.urandom(1 << 20))
        (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY big /big\nCMD /big\n")
        name = f"127.0.0.1:{served.port}/buildah/app:1"
        run(*words, "bud", "--isolation", "chroot", "-t", name, tmp_path)
        for form in ("oci", "v2s2"):
            run(*words, "push", "--tls-verify=false", "--format", form, name, f"docker://{name}-{form}")
        run(*words, "rmi", "-a", "-f")
        run(*words, "pull", "--tls-verify=false", f"{name}-oci")
        found = json.loads(run(*words, "inspect", "--type", "image", f"{name}-oci"))
        assert found["OCIv1"]["config"]["Cmd"] == ["/bin/sh", "-c", "/big"]


@needs("umoci", "skopeo")
def test_what_umoci_changed_goes_in_and_comes_out(served: Served, layout: Layout, run: Run, tmp_path: Path) -> None:
    name = f"docker://127.0.0.1:{served.port}/umoci/app"
    off = ("--src-tls-verify=false", "--dest-tls-verify=false")
    run("skopeo", "copy", *off, f"oci:{layout.path}:one", f"{name}:1")
    run("skopeo", "copy", *off, f"{name}:1", f"oci:{tmp_path}/changed:1")
    (tmp_path / "new").write_text("new")
    run("umoci", "insert", "--image", f"{tmp_path}/changed:1", "--tag", "2", tmp_path / "new", "/etc/new")
    run("umoci", "config", "--image", f"{tmp_path}/changed:2", "--author", "somebody")
    run("skopeo", "copy", *off, f"oci:{tmp_path}/changed:2", f"{name}:2")
    shutil.rmtree(tmp_path / "changed")
    run("skopeo", "copy", *off, f"{name}:2", f"oci:{tmp_path}/back:2")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/back:2", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/etc/new").read_text() == "new"
    assert (tmp_path / "bundle/rootfs/etc/motd").read_text() == "hello\n"
