"""skopeo copies to, from and within our registry, and changes nothing on the way."""

from __future__ import annotations

import json
from pathlib import Path

from tests.compat.conftest import Run
from tests.conftest import needs
from tests.suites.layouts import Layout
from tests.suites.served import Served

pytestmark = needs("skopeo")
OFF = ("--src-tls-verify=false", "--dest-tls-verify=false")


def test_an_image_goes_in_and_comes_out_unchanged(served: Served, layout: Layout, run: Run, tmp_path: Path) -> None:
    name = f"docker://127.0.0.1:{served.port}/skopeo/app"
    run("skopeo", "copy", *OFF, f"oci:{layout.path}:one", f"{name}:1")
    assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", name))["Tags"] == ["1"]
    back = tmp_path / "back"
    run("skopeo", "copy", *OFF, f"{name}:1", f"oci:{back}:x")
    assert {path.name for path in (back / "blobs/sha256").iterdir()} < layout.blobs()
    sent, got = (json.loads((place / "index.json").read_text())["manifests"][0] for place in (layout.path, back))
    assert sent["digest"] == got["digest"]


def test_an_index_goes_with_all_its_platforms(served: Served, layout: Layout, run: Run, tmp_path: Path) -> None:
    name = f"docker://127.0.0.1:{served.port}/skopeo/many:1"
    run("skopeo", "copy", "--all", *OFF, f"oci:{layout.path}:many", name)
    back = tmp_path / "back"
    run("skopeo", "copy", "--all", *OFF, name, f"oci:{back}:x")
    assert {path.name for path in (back / "blobs/sha256").iterdir()} == layout.blobs()
    arm = run("skopeo", "inspect", "--tls-verify=false", "--override-arch", "arm64", name)
    assert json.loads(arm)["Architecture"] == "arm64"


def test_dockers_format_goes_as_well(served: Served, layout: Layout, run: Run) -> None:
    name = f"docker://127.0.0.1:{served.port}/skopeo/docker:1"
    run("skopeo", "copy", "--format", "v2s2", *OFF, f"oci:{layout.path}:one", name)
    raw = json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", name))
    assert raw["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"


def test_an_image_is_copied_to_another_name_and_deleted(served: Served, layout: Layout, run: Run) -> None:
    base = f"docker://127.0.0.1:{served.port}/skopeo"
    run("skopeo", "copy", *OFF, f"oci:{layout.path}:one", f"{base}/from:1")
    run("skopeo", "copy", *OFF, f"{base}/from:1", f"{base}/to:1")
    run("skopeo", "delete", "--tls-verify=false", f"{base}/from:1")
    assert "manifest unknown" in run("skopeo", "inspect", "--tls-verify=false", f"{base}/from:1", check=False)
    assert json.loads(run("skopeo", "inspect", "--tls-verify=false", f"{base}/to:1"))["Name"].endswith("/to")
