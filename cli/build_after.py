"""What `build` does when the image is there: push it, and write down what it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builder.request import BuildRequest, BuildResult
    from cli.build_input import Input
    from cli.build_tools import Workshop
    from cli.progress import Display
    from cli.settings import Settings
    from image.descriptor import Descriptor

_TRUTH = ("1", "t", "T", "true", "TRUE", "True")


def finish(
    settings: Settings, given: Input, request: BuildRequest, result: BuildResult, workshop: Workshop, screen: Display
) -> None:
    """As `--push` and `--metadata-file` ask. Raises what pushing and writing raise; the image stays."""
    manifest = (
        _push(settings, request, result, workshop, screen) if given.push else _manifest(request, result, workshop)
    )
    if given.metadata_file:
        from cli.sink import sink

        warnings = settings.environ.get("BUILDX_METADATA_WARNINGS", "") in _TRUTH
        found = metadata(request, result, manifest, warnings=warnings)
        with sink(given.metadata_file, sync=False) as write:
            write(json.dumps(found, indent=2, sort_keys=True).encode())


def _manifest(request: BuildRequest, result: BuildResult, workshop: Workshop) -> Descriptor:
    """What the image's names point to."""
    tag = workshop.store.tags.get(request.tags[0]) if request.tags else None
    return tag.target if tag else result.image.manifest


def _push(
    settings: Settings, request: BuildRequest, result: BuildResult, workshop: Workshop, screen: Display
) -> Descriptor:
    from cli.wiring import open_client

    with open_client(settings, screen) as client:
        for reference in request.tags:
            task = screen.task(f"pushing {reference}")
            manifest = client.push(result.image, reference, workshop.store, workshop.layers)
            task.finish()
    return manifest


def metadata(request: BuildRequest, result: BuildResult, manifest: Descriptor, *, warnings: bool) -> dict[str, Any]:
    """The keys that buildx writes. There is one builder with one node here, so `buildx.build.ref` ends in the image."""
    platform = result.image.platform
    described = manifest.to_json() | {"platform": platform.to_json()}
    if request.annotations:
        described["annotations"] = dict(request.annotations)
    found: dict[str, Any] = {
        "buildx.build.ref": f"lamella/lamella/{result.image.id.hex}",
        "containerimage.config.digest": result.image.id,
        "containerimage.descriptor": described,
        "containerimage.digest": manifest.digest,
    }
    if request.tags:
        found["image.name"] = ",".join(map(str, request.tags))
    if warnings and result.findings:
        from builder.checks.calls import check_answer

        found["buildx.build.warnings"] = check_answer("", b"", result.findings, None)["warnings"]
    return found
