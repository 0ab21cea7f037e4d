"""Manifests and indexes: values that keep the bytes they came from, so that reading never changes a digest
(image-spec manifest.md, image-index.md; Docker's schema 2 and manifest list have the same shape)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.errors import InvalidInput, Unsupported
from core.value import Value, field
from image.descriptor import Descriptor, _strings
from image.digest import Digest
from image.documents import canonical_json, parse_object
from image.media_types import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from image.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

MAX_BYTES = 4 * 1024 * 1024


class Manifest(Value):
    """One image (or artifact): a config and layers, bottom first."""

    raw: bytes = field(repr=False)
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    subject: Descriptor | None = None
    artifact_type: str = ""

    @classmethod
    def parse(cls, raw: bytes, media_type: str = "") -> Self:
        """Raises InvalidInput for what is no manifest."""
        data = parse_object(raw, "the manifest")
        layers, subject = data.get("layers"), data.get("subject")
        if not isinstance(layers, list):
            raise InvalidInput("the manifest has no list of layers")
        return cls(
            raw, str(data.get("mediaType") or media_type or OCI_MANIFEST), Descriptor.from_json(data.get("config")),
            tuple(map(Descriptor.from_json, layers)), _strings(data.get("annotations")),
            Descriptor.from_json(subject) if subject else None, str(data.get("artifactType") or ""),
        )  # fmt: skip

    @classmethod
    def build(
        cls, config: Descriptor, layers: Iterable[Descriptor], *, annotations: Mapping[str, str] | None = None,
        media_type: str = OCI_MANIFEST,
    ) -> Self:  # fmt: skip
        """A manifest of our own; the same arguments give the same bytes."""
        data: dict[str, Any] = {
            "schemaVersion": 2, "mediaType": media_type, "config": config.to_json(), "layers": [x.to_json() for x in layers],
        }  # fmt: skip
        if annotations:
            data["annotations"] = dict(annotations)
        return cls.parse(canonical_json(data))

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, Digest.of(self.raw), len(self.raw))


class Index(Value):
    """Several manifests under one name, one for each platform."""

    raw: bytes = field(repr=False)
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    subject: Descriptor | None = None
    artifact_type: str = ""

    @classmethod
    def parse(cls, raw: bytes, media_type: str = "") -> Self:
        """Raises InvalidInput for what is no index."""
        data = parse_object(raw, "the index")
        manifests, subject = data.get("manifests"), data.get("subject")
        if not isinstance(manifests, list):
            raise InvalidInput("the index has no list of manifests")
        return cls(
            raw, str(data.get("mediaType") or media_type or OCI_INDEX), tuple(map(Descriptor.from_json, manifests)),
            _strings(data.get("annotations")), Descriptor.from_json(subject) if subject else None,
            str(data.get("artifactType") or ""),
        )  # fmt: skip

    @classmethod
    def build(cls, manifests: Iterable[Descriptor], *, annotations: Mapping[str, str] | None = None) -> Self:
        """An index of our own; the same arguments give the same bytes."""
        data: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [m.to_json() for m in manifests],
        }
        if annotations:
            data["annotations"] = dict(annotations)
        return cls.parse(canonical_json(data))

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, Digest.of(self.raw), len(self.raw))

    def choose(self, platform: Platform) -> Descriptor | None:
        """The manifest that serves `platform` best; the earlier one where two serve alike; None where none does.

        Attestations (`unknown/unknown`) never serve; a manifest that names no platform serves when it is the only one.
        """
        best: tuple[int, Descriptor] | None = None
        for one in self.manifests:
            score = platform.accepts(one.platform) if one.platform else int(len(self.manifests) == 1)
            if score and (best is None or score > best[0]):
                best = (score, one)
        return best[1] if best else None


def parse_any(raw: bytes, media_type: str = "") -> Manifest | Index:
    """A manifest or an index, as its own mediaType, else `media_type`, else its shape says.

    Raises InvalidInput for nonsense and Unsupported for Docker's schema 1.
    """
    data = parse_object(raw, "the manifest")
    kind = data.get("mediaType") or media_type
    if data.get("schemaVersion") == 1:
        raise Unsupported("the image is in Docker's old schema 1 format", "push it again with a current client")
    if kind in INDEXES or (kind not in MANIFESTS and "manifests" in data):
        return Index.parse(raw, media_type)
    return Manifest.parse(raw, media_type)
