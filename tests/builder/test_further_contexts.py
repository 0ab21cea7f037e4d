"""--build-context: names that stand for a stage, an image, or what a --from names."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.platform import host_platform
from tests.conftest import needs
from tests.suites.fileserver import Files, serving
from tests.suites.repositories import Repository, daemon

pytestmark = needs("crun", "git")
COPY = "FROM bb\nCOPY --from=other f /f\nRUN cat /f\n"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    directory = tmp_path / "other"
    directory.mkdir()
    (directory / "f").write_text("of the directory\n")
    return directory


@pytest.fixture
def site() -> Iterator[Files]:
    with serving() as site:
        yield site


@pytest.fixture
def image(lamella, base, tmp_path: Path) -> str:
    """An image `img`, which says something of itself."""
    (tmp_path / "img").mkdir()
    (tmp_path / "img/Dockerfile").write_text("FROM bb\nENV A=1\nRUN echo of the image >/f\n")
    lamella("build", "-q", "-t", "img", tmp_path / "img")
    return "img"


def test_a_directory_goes_by_its_own_rules_and_its_files_are_nobodys(build, other):
    (other / ".dockerignore").write_text("secret\n\nf2\n")
    (other / "f2").write_text("")
    (other / "f").chmod(0o640)
    import os

    os.chown(other / "f", 7, 8)
    text = "FROM bb\nCOPY --from=other . /o\nRUN ls /o; stat -c '%a %u:%g' /o/f\n"
    assert build(text, f"--build-context=other={other}").printed() == ["f", "640 0:0"]
    done = build("FROM bb\nCOPY --from=other f2 /\n", f"--build-context=other={other}", check=False)
    assert "Dockerfile:2" in done.said and "f2: excluded by .dockerignore line 3 (f2)" in done.said


def test_a_directory_is_in_the_cache_by_its_content(build, other, tmp_path):
    option = f"--build-context=other={other}"
    first = build(COPY, option)
    assert first.printed() == ["of the directory"]
    assert build(COPY, option).id == first.id
    (tmp_path / "same").mkdir()
    (tmp_path / "same/f").write_text("of the directory\n")
    assert "RUN cat /f: CACHED" in build(COPY, f"--build-context=other={tmp_path / 'same'}").steps
    (other / "f").write_text("changed\n")
    assert build(COPY, option).printed() == ["changed"]


def test_a_name_stands_for_a_stage_an_image_and_a_from_alike(build, other, image):
    stage = "FROM nowhere.invalid/none AS other\nRUN false\n" + COPY
    assert build(stage, f"--build-context=other={other}").printed() == ["of the directory"]
    assert build(stage, "--build-context=other=docker-image://img").printed() == ["of the image"]
    done = build(
        "FROM nowhere.invalid/none\nRUN cat /f; echo $A\n", "--build-context=nowhere.invalid/none=docker-image://img"
    )
    assert done.printed() == ["of the image", "1"]
    target = build("FROM nowhere.invalid/none AS other\nRUN false\n", "--build-context=other=docker-image://img")
    assert target.config.config.env[-1] == "A=1"


@pytest.mark.parametrize(
    "name", ["alpine", "alpine:latest", "docker.io/library/alpine", "docker.io/library/alpine:latest"]
)
def test_latest_and_the_default_registry_need_not_be_said(build, image, name):
    for start in ("alpine", "docker.io/library/alpine:latest"):
        assert build(
            f"FROM {start}\nRUN cat /f\n", f"--build-context={name}=docker-image://img", "--no-cache"
        ).printed() == ["of the image"]


def test_a_platform_can_be_told_and_wins(build, image, other):
    mine = f"--build-context=other::{host_platform()}=docker-image://img"
    assert build(COPY, f"--build-context=other={other}", mine).printed() == ["of the image"]
    assert build(
        COPY, f"--build-context=other={other}", "--build-context=other::linux/s390x=docker-image://img"
    ).printed() == ["of the directory"]


def test_a_stage_can_start_from_a_directory_a_repository_and_scratch(build, base, context, rootfs, tmp_path):
    done = build('FROM root\nRUN echo up\nCMD ["x"]\n', f"--build-context=root={rootfs}")
    assert (
        done.printed() == ["up"]
        and "CACHED" in build("FROM root\nRUN echo up\n", f"--build-context=root={rootfs}").said
    )
    assert build("FROM empty\nCOPY Dockerfile /\n", "--build-context=empty=docker-image://scratch").code == 0


def test_a_layout_is_read_by_tag_and_digest(build, lamella, image, tmp_path):
    path = tmp_path / "layout"
    for name in ("img", "bb"):
        lamella("image", "cp", f"store:{name}", f"oci:{path}:{name}")
    text = "FROM other\nRUN cat /f\n"
    assert build(text, f"--build-context=other=oci-layout://{path}:img").printed() == ["of the image"]
    digest = subprocess.run(
        ["python3", "-c", f"import json; print(*(m['digest'] for m in json.load(open('{path}/index.json'))['manifests']))"],
        capture_output=True, text=True, check=True,
    ).stdout.split()[0]  # fmt: skip
    assert build(text, f"--build-context=other=oci-layout://{path}@{digest}", "--no-cache").printed() == [
        "of the image"
    ]
    for wrong, said in (
        (f"{path}:nope", "no image 'nope'"),
        (str(path), "2 images"),
        (f"{path}@sha256:{'0' * 64}", "no image '@sha256:0"),
    ):
        done = build(text, f"--build-context=other=oci-layout://{wrong}", check=False)
        assert done.code == 1 and said in done.said and "Dockerfile:1" in done.said


def test_a_repository_and_a_tarball_from_servers(build, tmp_path, site):
    repository = Repository(tmp_path / "repositories/r.git")
    repository.commit({"sub/f": "of the repository\n"})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        entry = tarfile.TarInfo("f")
        entry.size, entry.uid = 15, 9
        tar.addfile(entry, io.BytesIO(b"of the tarball\n"))
    site.files["/c.tar.xz"] = buffer.getvalue()
    site.files["/plain"] = b"just a file\n"
    with daemon(tmp_path / "repositories") as server:
        option = f"--build-context=other={server}/r.git#main:sub"
        assert build(COPY, option).printed() == ["of the repository"]
        assert build(COPY, option).steps[-1] == "RUN cat /f: CACHED"
    tarball = f"--build-context=other={site.url}/c.tar.xz"
    assert build(COPY + "RUN stat -c %u /f\n", tarball).printed() == ["of the tarball", "0"]
    assert build(COPY, tarball).steps[-1] == "RUN cat /f: CACHED" and site.statuses("/c.tar.xz") == [200, 304]
    plain = f"--build-context=other={site.url}/plain"
    assert build(COPY.replace("other f", "other context"), plain).printed() == ["just a file"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("nope", "write it as NAME=DIRECTORY"),
        ("=x", "write it as NAME=DIRECTORY"),
        ("a=", "write it as NAME=DIRECTORY"),
        ("a=/does/not/exist", "is no directory"),
        ("a=docker-image://UPPER", "invalid"),
        ("a=oci-layout:///does/not/exist", "names no directory"),
        ("a=target:x", "bake"),
        ("a=git://h/x?nope=1", "unknown key"),
        ("a::nonsense/=x", "platform"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(build, option, said):
    done = build("FROM bb\n", f"--build-context={option}", check=False)
    assert done.code == 1 and said in done.said and "[1/" not in done.said


def test_what_cannot_be_had_points_at_who_asked_for_it(build):
    done = build(COPY, "--build-context=other=http://127.0.0.1:1/x", check=False)
    assert done.code == 1 and "Dockerfile:2" in done.said and "connection refused" in done.said
    done = build(COPY, "--build-context=other=docker-image://localhost:1/none", check=False)
    assert done.code == 1 and "Dockerfile:2" in done.said


def test_mounts_know_the_names_and_what_is_fetched_is_fetched_once(build, other, site):
    site.files["/plain"] = b"just a file\n"
    (other / ".dockerignore").write_text("hidden\n")
    (other / "hidden").write_text("")
    text = (
        "FROM bb AS a\nRUN --mount=from=other,target=/o ls /o >/a\n"
        f"FROM bb AS b\nADD {site.url}/plain /b\n"
        f"FROM bb\nADD {site.url}/plain /c\nCOPY --from=a /a /a\nCOPY --from=b /b /b\n"
        "RUN --mount=from=web,target=/w cat /a /b /c /w/context\n"
    )
    options = (f"--build-context=other={other}", f"--build-context=web={site.url}/plain")
    assert build(text, *options).printed() == ["f", *["just a file"] * 3]
    assert set(site.statuses("/plain")) == {200} and len(site.asked) <= 2


def test_checks_know_the_names(build, lamella, context, other):
    (context / "Dockerfile").write_text(COPY)
    done = lamella("build", "--check", f"--build-context=other={other}", context)
    assert done.returncode == 0
