"""What the build checks find in a text, without a store: base images are whatever a test says they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.checks.verdict import options_for, verdict
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.parser import parse
from builder.dockerfile.source import Finding
from builder.plan import Planner
from builder.request import BuildRequest
from builder.stages import BaseImage
from core.value import replace
from image.config import ContainerConfig, ImageConfig, scratch
from image.descriptor import Descriptor
from image.digest import Digest
from image.platform import Platform, host_platform
from image.reference import Reference
from store.images import Image

FOREIGN = "s390x" if host_platform().architecture != "s390x" else "amd64"


def planner_of(
    text: str, args: Mapping[str, str] | None = None, target: str | None = None, config: ContainerConfig | None = None
) -> Planner:
    """Plans `text`. Images called `foreign` are for another platform; all have this `config`."""
    request = BuildRequest(text.encode(), "Dockerfile", Path("/nowhere"), args=dict(args or {}), target=target or "")

    def find(name: str, platform: Platform) -> BaseImage:
        Reference.parse(name)
        offered = replace(platform, architecture=FOREIGN) if name.startswith("foreign") else platform
        image = scratch().changed(config=config or ContainerConfig(), platform=offered)
        return BaseImage(_row(image), image, name)

    return Planner(request, parse(request.dockerfile, "Dockerfile"), find)


def findings(
    text: str, args: Mapping[str, str] | None = None, ignored: Sequence[str] = (), target: str | None = None,
    config: ContainerConfig | None = None, unknown: Sequence[str] = (),
) -> tuple[Finding, ...]:  # fmt: skip
    """Of all stages, or of the target alone; see `planner_of`."""
    planner = planner_of(text, args, target, config)
    request, dockerfile = planner.request, planner.dockerfile
    for number in range(0 if target else len(dockerfile.stages)):
        planner.stage(number)
    if target:
        planner.plan()
    return verdict(request, dockerfile, planner, Ignore.of(ignored), options_for(request, dockerfile), unknown)


def _row(config: ImageConfig) -> Image:
    return Image(config.id, Descriptor("", Digest.of(b""), 0), None, 0, config.platform, 0, ())


def told(text: str, **options: object) -> list[str]:
    """`Rule line message` for each finding."""
    return [f"{one.rule} {one.span.line} {one.message}" for one in findings(text, **options)]  # type: ignore[arg-type]
