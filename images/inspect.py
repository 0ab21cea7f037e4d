"""Everything about an image, under the names that Docker gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.clock import format_instant

if TYPE_CHECKING:
    from image.config import ImageConfig
    from image.digest import DiffID
    from store.images import Image
    from store.store import Store

_NEVER = "0001-01-01T00:00:00Z"


def describe(store: Store, image: Image) -> dict[str, Any]:
    """Docker's inspect object. Raises BlobNotFound or Integrity where the store is damaged."""
    config = store.images.config(image.id)
    tags = store.tags.of_image(image.id)
    platform = image.platform
    tagged = format_instant(max((tag.updated for tag in tags), default=0)) if tags else _NEVER
    return {
        "Id": str(image.id),
        "RepoTags": [tag.reference.familiar for tag in tags],
        "RepoDigests": [reference.familiar for reference in store.tags.digests_of(image.id)],
        "Parent": str(image.parent or ""),
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created,
        "DockerVersion": str(config.extra.get("docker_version") or ""),
        "Author": config.author,
        "Architecture": platform.architecture,
        **({"Variant": platform.variant} if platform.variant else {}),
        "Os": platform.os,
        **({"OsVersion": platform.os_version} if platform.os_version else {}),
        "Size": image.size,
        "GraphDriver": {"Data": _directories(store, config.diff_ids), "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": list(map(str, config.diff_ids))},
        "Metadata": {
            "LastTagTime": tagged, "LastUsedTime": format_instant(image.last_used) if image.last_used else _NEVER,
        },
        "Descriptor": image.manifest.to_json(),
        "Config": container_config(config),
    }  # fmt: skip


def container_config(config: ImageConfig) -> dict[str, Any]:
    """The `Config` object, with the fields that scripts read there even when they are empty."""
    empty = {
        "User": "",
        "Env": None,
        "Cmd": None,
        "Volumes": None,
        "WorkingDir": "",
        "Entrypoint": None,
        "Labels": None,
    }
    return {**empty, **config.config.to_json()}


def _directories(store: Store, diff_ids: tuple[DiffID, ...]) -> dict[str, str]:
    found = store.layers.get_many(diff_ids)
    paths = [str(store.layer_path(found[d].directory)) for d in reversed(diff_ids) if d in found]
    return {"LowerDir": ":".join(paths[1:]), "UpperDir": paths[0] if paths else ""}
