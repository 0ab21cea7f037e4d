"""Descriptors: typed, sized, hashed pointers (image-spec descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import InvalidInput
from core.value import Value, field
from image.digest import Digest
from image.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

_KNOWN = {"mediaType", "digest", "size", "annotations", "platform", "urls", "artifactType"}


class Descriptor(Value):
    """`size` is in bytes. Fields this version does not know are kept in `extra`."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """From parsed JSON that nobody vouches for. Raises InvalidInput."""
        if not isinstance(data, dict):
            raise InvalidInput("a descriptor is not an object")
        size, media_type, digest = data.get("size"), data.get("mediaType"), data.get("digest")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise InvalidInput(f"a descriptor has no valid size: {size!r}")
        if not isinstance(media_type, str) or not isinstance(digest, str):
            raise InvalidInput("a descriptor lacks its mediaType or digest")
        platform, urls = data.get("platform"), data.get("urls")
        return cls(
            media_type, Digest.parse(digest), size, _strings(data.get("annotations")),
            Platform.from_json(platform) if isinstance(platform, dict) else None,
            tuple(u for u in urls if isinstance(u, str)) if isinstance(urls, list) else (), str(data.get("artifactType") or ""),
            {k: v for k, v in data.items() if k not in _KNOWN},
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        optional = {
            "artifactType": self.artifact_type, "urls": list(self.urls), "annotations": dict(self.annotations),
            "platform": self.platform.to_json() if self.platform else None,
        }  # fmt: skip
        return data | {k: v for k, v in optional.items() if v} | dict(self.extra)


def _strings(data: Any) -> dict[str, str]:
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
        raise InvalidInput("annotations are not a map of strings")
    return dict(data)
