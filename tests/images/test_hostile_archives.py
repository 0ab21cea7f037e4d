"""Whatever an archive tries, `load` says in one line what is wrong with it, and the store is as it was."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import pytest

from core.errors import LamellaError
from image.media_types import OCI_INDEX
from images.load import load
from snapshot.layers import Layers
from store.collect import collect
from store.store import Store
from tests.suites.archives import LAYER, File, config, docker_archive, hex_of, legacy, manifest_json, tar
from tests.suites.layouts import tar_of

BIG = b'["' + b"x" * (9 << 20) + b'"]'
DEEP = b"[" * 100_000
OTHER = tar_of({"etc/motd": b"other\n"})
OUT = tar_of({"../../etc/passwd": b"root::0:0"})


def index(*entries: dict[str, object]) -> File:
    return "index.json", json.dumps({"schemaVersion": 2, "manifests": list(entries)}).encode()


def blob(data: bytes) -> File:
    return f"blobs/sha256/{hex_of(data)}", data


def described(data: bytes, kind: str, **fields: object) -> dict[str, object]:
    return {
        "mediaType": f"application/vnd.oci.image.{kind}",
        "digest": f"sha256:{hex_of(data)}",
        "size": len(data),
        **fields,
    }


def manifest(*layers: bytes, of: bytes | None = None) -> bytes:
    raw = config(*layers) if of is None else of
    return json.dumps(
        {
            "schemaVersion": 2,
            "config": described(raw, "config.v1+json"),
            "layers": [described(x, "layer.v1.tar") for x in layers],
        }
    ).encode()


def nested(depth: int) -> list[File]:
    inner = manifest(LAYER)
    kind, files = "manifest.v1+json", [blob(config(LAYER)), blob(LAYER), blob(inner)]
    for _ in range(depth):
        platform = {"os": "linux", "architecture": os.uname().machine}
        inner = json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described(inner, kind, platform=platform)]}
        ).encode()
        kind = "index.v1+json"
        files.append(blob(inner))
    return [*files, index(described(inner, kind))]


GOOD = docker_archive(LAYER)
LOOP: list[File] = [
    ("config.json", config(LAYER)),
    ("a", "b"),
    ("b", "a"),
    manifest_json("config.json", ["a"], "app:1"),
]
CASES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the input is empty"),
    "no archive": (b"\x7fELF" + bytes(4096), "this is no image archive"),
    "an archive of something else": (tar(("README", b"hello")), "this is no image archive"),
    "an empty archive": (bytes(10240), "this is no image archive"),
    "cut short in a layer": (tar(*GOOD)[:2000], "cut short|ends in the middle"),
    "cut short in gzip": (gzip.compress(tar(*GOOD))[:-40], "cut short"),
    "a size that is not there": (tar(*GOOD[:1], ("0/layer.tar", 1 << 30)), "ends in the middle"),
    "an absurd size": (tar(("x", 1 << 50)), "impossible size"),
    "a name that leads out": (tar(("../../etc/cron.d/x", b"x"), *GOOD), "names a file outside of itself"),
    "a config that leads out": (tar(*GOOD[:2], manifest_json("../config.json", ["0/layer.tar"], "app:1")), "outside of itself"),
    "a layer that leads out": (tar(*GOOD[:1], manifest_json("config.json", ["../../etc/passwd"], "app:1")), "outside of itself"),
    "a link that leads out": (
        tar(*GOOD[:1], ("0/layer.tar", "../../etc/passwd"), manifest_json("config.json", ["0/layer.tar"], "app:1")),
        "leads out of it",
    ),
    "an absolute link": (
        tar(*GOOD[:1], ("0/layer.tar", "/etc/passwd"), manifest_json("config.json", ["0/layer.tar"], "app:1")), "leads out of it",
    ),
    "links in a circle": (tar(*LOOP), "too many links"),
    "a link to nothing": (
        tar(*GOOD[:1], ("0/layer.tar", "gone"), manifest_json("config.json", ["0/layer.tar"], "app:1")), "lacks a file",
    ),
    "two files of one name": (tar(*GOOD, ("config.json", b"{}")), "two files of one name"),
    "no config": (tar(*GOOD[1:]), "lacks a file that it refers to: config.json"),
    "no layer": (tar(GOOD[0], GOOD[2]), "lacks a file that it refers to: 0/layer.tar"),
    "another layer": (tar(GOOD[0], ("0/layer.tar", OTHER), GOOD[2]), 'invalid diffID for layer 0: expected "sha256:'),
    "a layer that is no tar": (tar(GOOD[0], ("0/layer.tar", b"hello"), GOOD[2]), "no layer|no tar header|middle of a header"),
    "a layer that writes outside": (tar(*docker_archive(OUT)), "cannot unpack"),
    "fewer layers than the config has": (
        tar(("config.json", config(LAYER, OTHER)), *GOOD[1:]), "layers length mismatch: expected 1, got 2",
    ),
    "more layers than the config has": (
        tar(("config.json", config()), *GOOD[1:]), "layers length mismatch: expected 1, got 0",
    ),
    "a config that is no config": (tar(("config.json", b"[]"), *GOOD[1:]), "config.json"),
    "a manifest that is no list": (tar(*GOOD[:2], ("manifest.json", b"{}")), "is not a list"),
    "a manifest of numbers": (tar(*GOOD[:2], ("manifest.json", b"[1]")), "without a Config"),
    "layers that are no list": (tar(*GOOD[:2], ("manifest.json", b'[{"Config": "config.json", "Layers": {"a": 1}}]')), "no list of names"),
    "a manifest that is no JSON": (tar(*GOOD[:2], ("manifest.json", b"\xff{")), "not JSON"),
    "no images": (tar(*GOOD[:2], ("manifest.json", b"[]")), "no image in the archive"),
    "megabytes of JSON": (tar(*GOOD[:2], ("manifest.json", BIG)), "manifest.json in the archive has"),
    "JSON without a bottom": (tar(*GOOD[:2], ("manifest.json", DEEP)), "not JSON"),
    "a bad name": (tar(*docker_archive(LAYER, tags=["App:1"])), "manifest.json: invalid reference format"),
    "a name without a tag": (tar(*docker_archive(LAYER, tags=["app"])), "without a tag"),
    "a second image that is broken": (
        tar(
            *GOOD[:2],
            ("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["0/layer.tar"]},
                                          {"Config": "gone", "RepoTags": ["app:2"], "Layers": ["0/layer.tar"]}]).encode()),
        ),
        "lacks a file",
    ),
    "a layout without blobs": (tar(index(described(manifest(LAYER), "manifest.v1+json"))), "lacks a file"),
    "a manifest of other bytes": (
        tar((f"blobs/sha256/{hex_of(manifest(LAYER))}", manifest(OTHER)), index(described(manifest(LAYER), "manifest.v1+json"))),
        "is damaged",
    ),
    "a config of other bytes": (
        tar(
            (f"blobs/sha256/{hex_of(config(LAYER))}", config(OTHER)), blob(LAYER), blob(manifest(LAYER)),
            index(described(manifest(LAYER), "manifest.v1+json")),
        ),
        "is damaged",
    ),
    "a layer of other bytes": (
        tar(
            blob(config(LAYER)), (f"blobs/sha256/{hex_of(LAYER)}", OTHER), blob(manifest(LAYER)),
            index(described(manifest(LAYER), "manifest.v1+json")),
        ),
        "invalid diffID",
    ),
    "indexes without a bottom": (tar(*nested(6)), "nested more than"),
    "nothing for this platform": (
        tar(
            blob(config(LAYER)), blob(LAYER), blob(manifest(LAYER)),
            index(*(described(manifest(LAYER), "manifest.v1+json", platform={"os": "plan9", "architecture": a}) for a in "ab")),
        ),
        "no image for linux",
    ),
    "an artifact": (
        tar(
            blob(b"{}"), blob(json.dumps({"schemaVersion": 2, "config": described(b"{}", "empty.v1+json"), "layers": []}).encode()),
            index(described(json.dumps({"schemaVersion": 2, "config": described(b"{}", "empty.v1+json"), "layers": []}).encode(), "manifest.v1+json")),
        ),
        "no container image",
    ),
    "ancestors in a circle": (
        tar(*((n, d.replace(b'"id": "l0"', b'"id": "l0", "parent": "l1"') if isinstance(d, bytes) else d) for n, d in legacy(LAYER, OTHER))),
        "its own ancestor",
    ),
    "an ancestor elsewhere": (
        tar(*((n, d.replace(b'"parent": "l0"', b'"parent": "../l0"') if isinstance(d, bytes) else d) for n, d in legacy(LAYER, OTHER))),
        "no name",
    ),
    "a missing ancestor": (tar(*legacy(LAYER, OTHER)[3:]), "lacks a file that it refers to: l0/json"),
    "repositories of numbers": (tar(*legacy(LAYER)[:-1], ("repositories", b'{"app": 1}')), "is not a map"),
}  # fmt: skip


@pytest.mark.parametrize("way", ["file", "stream"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_said_and_nothing_stays(
    store: Store, layers: Layers, tmp_path: Path, name: str, way: str
) -> None:
    data, said = CASES[name]
    path = tmp_path / "archive"
    path.write_bytes(data)
    with pytest.raises(LamellaError, match=said) as refused:
        load(store, layers, path if way == "file" else io.BytesIO(data))
    assert "\n" not in refused.value.message and len(refused.value.message) < 600
    store.leases.close()
    assert store.images.count() == 0 and not list(store.tags.all())
    for place in ("layers", "snapshots", "tmp"):
        assert os.listdir(store.root / place) == []
    assert not list(store.blobs.walk())
    assert collect(store, full=True).bytes == 0


def test_an_archive_full_of_descriptions_does_not_fill_memory(store: Store, layers: Layers) -> None:
    files: list[File] = [(f"{number}.json", b"x" * (7 << 20)) for number in range(12)]
    with pytest.raises(LamellaError, match="descriptions have more than"):
        load(store, layers, io.BytesIO(tar(*files, *GOOD)))
