"""Reading never changes a digest, unknown fields are kept, and nonsense is refused."""

from __future__ import annotations

import json

import pytest

from core.errors import InvalidInput, LamellaError, Unsupported
from image import media_types as media
from image.config import ContainerConfig, HealthCheck, History, ImageConfig, scratch
from image.descriptor import Descriptor
from image.digest import ChainID, DiffID, Digest, chain_id
from image.manifest import Index, Manifest, parse_any
from image.platform import Platform

STRANGE = {"os": "linux", "architecture": "arm", "variant": "oops", "os.version": ["\x1b[2J"]}

EMPTY = DiffID("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
CONFIG = Descriptor(media.OCI_CONFIG, Digest.of(b"{}"), 2)


def test_digests_of_different_kinds_are_different_types() -> None:
    assert Digest.of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert not isinstance(Digest.of(b""), DiffID)
    assert Digest.of(b"", "sha512").algorithm == "sha512"
    assert EMPTY.short == "5f70bf18a086"


@pytest.mark.parametrize(
    "text", ["", "sha256", "md5:" + "0" * 32, "sha256:" + "A" * 64, "sha256:" + "0" * 63, "sha256:" + "0" * 65]
)
def test_a_malformed_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Digest.parse(text)


def test_a_chain_id_is_the_hash_of_the_stack() -> None:
    assert chain_id([]) is None
    assert chain_id([EMPTY]) == EMPTY
    assert chain_id([EMPTY, EMPTY]) == ChainID.of(f"{EMPTY} {EMPTY}".encode())


def test_a_manifest_keeps_its_bytes_and_the_fields_it_does_not_know() -> None:
    raw = json.dumps(
        {"schemaVersion": 2, "future": [1, 2], "config": {**CONFIG.to_json(), "x": 1}, "layers": []}, indent=3
    ).encode()
    manifest = Manifest.parse(raw, media.OCI_MANIFEST)
    assert manifest.raw == raw and manifest.descriptor.digest == Digest.of(raw)
    assert manifest.config.to_json() == {**CONFIG.to_json(), "x": 1}


def test_the_same_values_give_the_same_manifest() -> None:
    one, two = (Manifest.build(CONFIG, [CONFIG], annotations={"b": "1", "a": "2"}) for _ in range(2))
    assert one.descriptor == two.descriptor and one.layers == (CONFIG,)


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"null", b'{"layers":1}', b'{"layers":[{}],"config":{}}', b'{"manifests":{}}', b"[" * 100_000,
     b'{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:x","size":1},"layers":[]}',
     b'{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:%s","size":-1}]}' % (b"0" * 64),
     b'{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:%s","size":true}]}' % (b"0" * 64)],
)  # fmt: skip
def test_nonsense_is_no_manifest(raw: bytes) -> None:
    with pytest.raises(LamellaError):
        parse_any(raw)


def test_schema_1_is_refused_by_its_name() -> None:
    with pytest.raises(Unsupported, match="schema 1"):
        parse_any(b'{"schemaVersion":1,"fsLayers":[]}')


def test_a_manifest_is_told_from_an_index_by_type_or_shape() -> None:
    assert isinstance(parse_any(Index.build([]).raw), Index)
    assert isinstance(parse_any(b'{"schemaVersion":2,"manifests":[]}'), Index)
    assert isinstance(parse_any(Manifest.build(CONFIG, []).raw), Manifest)


def entry(platform: str, size: int) -> Descriptor:
    return Descriptor(media.OCI_MANIFEST, Digest.of(platform.encode()), size, platform=Platform.parse(platform))


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ("linux/amd64", 1),
        ("linux/arm64", 2),
        ("linux/arm/v7", 4),
        ("linux/arm/v6", 3),
        ("linux/arm/v8", 4),
        ("linux/s390x", None),
    ],
)
def test_the_platform_that_serves_best_is_chosen(asked: str, size: int | None) -> None:
    index = Index.build(
        [entry(p, n) for n, p in enumerate(("linux/amd64", "linux/arm64/v8", "linux/arm/v6", "linux/arm/v7"), 1)]
    )
    found = index.choose(Platform.parse(asked))
    assert (found.size if found else None) == size


def test_attestations_are_never_chosen() -> None:
    unknown = Descriptor(media.OCI_MANIFEST, Digest.of(b"x"), 1, platform=Platform("unknown", "unknown"))
    assert Index.build([unknown]).choose(Platform.parse("linux/amd64")) is None


def test_a_config_survives_reading_and_writing() -> None:
    config = ContainerConfig(
        env=("PATH=/bin", "A=b"), cmd=(), entrypoint=("/x",), working_dir="/w", user="u:g", labels={"k": "v"},
        exposed_ports=("80/tcp",), volumes=("/data",), stop_signal="SIGINT", shell=("/bin/bash", "-c"),
        healthcheck=HealthCheck(("CMD", "x"), interval=10**9, retries=3), on_build=("RUN x",), args_escaped=True,
        extra={"Future": True},
    )  # fmt: skip
    image = scratch().changed(
        config=config, diff_ids=(EMPTY,), history=(History("t", "RUN x", "c", "a", True),), created="t", author="me"
    )
    again = ImageConfig.parse(image.encode())
    assert again == image and again.encode() == image.encode() and again.id == image.id
    assert again.config.cmd == () and ContainerConfig.from_json({}).cmd is None


def test_a_foreign_config_keeps_its_very_bytes_until_it_is_changed() -> None:
    raw = b'{ "os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]},"docker_version":"1" }'
    image = ImageConfig.parse(raw)
    assert image.encode() == raw and image.id == Digest.of(raw)
    changed = image.changed(author="me")
    assert changed.encode() != raw and json.loads(changed.encode())["docker_version"] == "1"


@pytest.mark.parametrize(
    "raw",
    [b"{}", b"[]", b'{"rootfs":{"diff_ids":[1]}}', b'{"rootfs":{"diff_ids":["x"]}}', b'{"rootfs":{"diff_ids":[]},"config":[]}',
     b'{"rootfs":{"diff_ids":[]},"config":{"Env":[1]}}', b'{"rootfs":{"diff_ids":[]},"history":[1]}'],
)  # fmt: skip
def test_nonsense_is_no_config(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        ImageConfig.parse(raw)


@pytest.mark.parametrize(
    ("text", "normal"),
    [("linux/x86_64", "linux/amd64"), ("linux/aarch64", "linux/arm64"), ("linux/arm64/v8", "linux/arm64"), ("linux/arm", "linux/arm/v7"),
     ("linux/armel", "linux/arm/v6"), ("arm64", "linux/arm64"), ("windows/amd64", "windows/amd64"), ("linux/amd64/v3", "linux/amd64/v3")],
)  # fmt: skip
def test_platforms_have_one_normal_form(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d"])
def test_a_malformed_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Platform.parse(text)


def test_a_platform_that_makes_no_sense_is_shown_and_compared_without_harm() -> None:
    found = Platform.from_json(STRANGE | {"os": "\x1b]0;x\x07"})
    assert str(found) == "?]0;x?/arm/oops"
    assert Platform.parse("linux/arm/v7").accepts(Platform.from_json(STRANGE)) == 1
    assert Platform.parse("linux/arm/v7").accepts(Platform.parse("linux/arm/v6")) == 7


def test_json_is_utf_8_and_nothing_else() -> None:
    with pytest.raises(InvalidInput, match="not JSON"):
        parse_any(json.dumps({"schemaVersion": 2, "layers": []}).encode("utf-16"), media.OCI_MANIFEST)
