"""OCI image layouts made by hand, as input for other people's tools."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TYPE = "application/vnd.oci.image."


class Layout:
    """An OCI layout (image-layout.md) that grows in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": TYPE + media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def image(
        self, *layers: bytes, architecture: str = "amd64", command: tuple[str, ...] = ("/bin/true",)
    ) -> dict[str, Any]:
        """An image of these tars, gzipped; its descriptor."""
        config = {
            "architecture": architecture, "os": "linux", "config": {"Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in layers]},
        }  # fmt: skip
        manifest = {
            "schemaVersion": 2, "mediaType": TYPE + "manifest.v1+json",
            "config": self.blob(json.dumps(config).encode(), "config.v1+json"),
            "layers": [self.blob(gzip.compress(tar, 1), "layer.v1.tar+gzip") for tar in layers],
        }  # fmt: skip
        one = self.blob(json.dumps(manifest, indent=1).encode(), "manifest.v1+json")
        return {**one, "platform": {"os": "linux", "architecture": architecture}}

    def index(self, *images: dict[str, Any]) -> dict[str, Any]:
        """An index of several images; its descriptor."""
        index = {"schemaVersion": 2, "mediaType": TYPE + "index.v1+json", "manifests": images}
        return self.blob(json.dumps(index).encode(), "index.v1+json")

    def name(self, **names: dict[str, Any]) -> None:
        """Name descriptors, as the entry points of the layout."""
        entries = [{**one, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag, one in names.items()]
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))

    def blobs(self) -> set[str]:
        return {path.name for path in (self.path / "blobs/sha256").iterdir()}


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
