"""What `build` does with the image: metadata, annotations, push."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from image.reference import Reference
from store.store import Store
from tests.conftest import needs

pytestmark = needs("crun")
Lamella = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nCMD x\n")
    return tmp_path / "context"


def test_the_metadata_file_says_what_was_built(lamella: Lamella, context: Path, tmp_path: Path) -> None:
    file = tmp_path / "metadata.json"
    id = lamella("build", "-q", "-t", "a", "-t", "b:1", f"--metadata-file={file}", context).stdout.strip()
    found = json.loads(file.read_text())
    assert found["containerimage.config.digest"] == id
    assert found["image.name"] == "docker.io/library/a:latest,docker.io/library/b:1"
    assert found["containerimage.descriptor"]["digest"] == found["containerimage.digest"]
    assert found["containerimage.descriptor"]["platform"]["os"] == "linux"
    assert "buildx.build.ref" in found and "buildx.build.warnings" not in found
    environment = {"BUILDX_METADATA_WARNINGS": "1"}
    lamella("build", "-q", f"--metadata-file={file}", context, env=environment)
    found = json.loads(file.read_text())
    assert [one["ruleName"] for one in found["buildx.build.warnings"]] == ["JSONArgsRecommended"]
    assert "image.name" not in found


def test_annotations_are_in_the_manifest_and_not_in_the_config(
    lamella: Lamella, context: Path, store_root: Path, registry: str
) -> None:
    name = f"{registry}/team/app:1"
    options = ("--annotation=a=b=c", "--annotation", "manifest[linux/amd64]:d=e")
    id = lamella("build", "-q", "-t", name, *options, context).stdout.strip()
    assert lamella("build", "-q", "-t", "plain", context).stdout.strip() == id
    with Store.open(store_root) as store:
        tag = store.tags.get(Reference.parse(name))
        assert tag and json.loads(store.blobs.read(tag.target.digest, 1 << 20))["annotations"] == {"a": "b=c", "d": "e"}
    lamella("push", name)
    request = urllib.request.Request(
        f"http://{registry}/v2/team/app/manifests/1", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}
    )
    assert json.load(urllib.request.urlopen(request))["annotations"] == {"a": "b=c", "d": "e"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("index:a=b", "no index is made"), ("manifst:a=b", "invalid --annotation"), ("=b", "invalid --annotation")],
)
def test_an_annotation_that_has_no_place_is_refused(lamella: Lamella, context: Path, text: str, said: str) -> None:
    done = lamella("build", f"--annotation={text}", context, check=False)
    assert done.returncode == 1 and said in done.stderr


def test_push_sends_every_name_and_the_metadata_tell_the_digest_there(
    lamella: Lamella, context: Path, tmp_path: Path, registry: str
) -> None:
    file = tmp_path / "metadata.json"
    names = [f"{registry}/app:1", f"{registry}/app:2"]
    lamella("build", "-q", "--push", "--load", "-t", names[0], "-t", names[1], f"--metadata-file={file}", context)
    digest = json.loads(file.read_text())["containerimage.digest"]
    for tag in ("1", "2"):
        with urllib.request.urlopen(f"http://{registry}/v2/app/manifests/{tag}") as answer:
            assert answer.headers["Docker-Content-Digest"] == digest


def test_push_needs_a_name(lamella: Lamella, context: Path) -> None:
    done = lamella("build", "--push", context, check=False)
    assert done.returncode == 1 and "--push needs a name" in done.stderr
