"""Image archives made by hand, honest and otherwise."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from typing import Any

from tests.suites.layouts import tar_of

File = tuple[str, "bytes | str | int"]
LAYER = tar_of({"etc/motd": b"hello\n"})


def tar(*files: File) -> bytes:
    """A tar of files (bytes), symbolic links (str), and files that only claim a size (int)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as out:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                out.addfile(entry)
            elif isinstance(content, int):
                entry.size = content
                out.addfile(entry)
            else:
                entry.size = len(content)
                out.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def hex_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def config(*layers: bytes, **fields: Any) -> bytes:
    """The config of an image of these uncompressed layers."""
    data = {
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hex_of(layer) for layer in layers]}, **fields,
    }  # fmt: skip
    return json.dumps(data).encode()


def manifest_json(config_name: str, layers: Sequence[str], *tags: str) -> File:
    return "manifest.json", json.dumps(
        [{"Config": config_name, "RepoTags": list(tags), "Layers": list(layers)}]
    ).encode()


def docker_archive(*layers: bytes, tags: Sequence[str] = ("app:1",), first: bool = False) -> list[File]:
    """The files of a docker-archive of one image; manifest.json comes `first` or last."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = manifest_json("config.json", names, *tags)
    files: list[File] = [("config.json", config(*layers)), *zip(names, layers, strict=True)]
    return [manifest, *files] if first else [*files, manifest]


def legacy(*layers: bytes, names: dict[str, dict[str, str]] | None = None, dates: bool = True) -> list[File]:
    """The files of an archive from before Docker 1.10: layer `l0` at the bottom."""
    files: list[File] = []
    for number, layer in enumerate(layers):
        data: dict[str, Any] = {
            "id": f"l{number}", "created": f"2015-01-0{number + 1}T00:00:00Z", "os": "linux", "architecture": "amd64",
            "docker_version": "1.9.1", "Size": len(layer), "config": {"Cmd": ["/bin/true"], "Env": ["A=<b>"]},
            "container_config": {"Cmd": ["/bin/sh", "-c", f"RUN {number} && true"]}, "throwaway": False,
        }  # fmt: skip
        if number:
            data["parent"] = f"l{number - 1}"
        files += [
            (f"l{number}/VERSION", b"1.0"),
            (f"l{number}/json", json.dumps(data).encode()),
            (f"l{number}/layer.tar", layer),
        ]
    top = f"l{len(layers) - 1}"
    return [*files, ("repositories", json.dumps(names or {"app": {"old": top}}).encode())]
