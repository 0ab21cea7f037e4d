"""From a name to a manifest and a config, everything checked: sizes are limits, digests hold, media types are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import InvalidInput, LamellaError, NotFound, Unsupported
from image.config import ImageConfig
from image.descriptor import Descriptor
from image.digest import Digest
from image.manifest import MAX_BYTES, Index, Manifest, parse_any
from image.media_types import ACCEPTED, CONFIGS
from image.platform import Platform, host_platform
from image.reference import Reference
from registry.client.errors import ConnectionFailed, Misbehaved, WrongBytes, printable
from registry.client.remote import Repository
from registry.client.transport import Request, read_all
from registry.protocol import blob_path, manifest_path

CONFIG_BYTES = 8 << 20
MAX_LAYERS = 1024
DEPTH = 3  # of an index in an index
Local = Callable[[Descriptor], bytes | None]


@dataclass(frozen=True, slots=True)
class Resolved:
    """`target` is what the name points to, `target_raw` its bytes; `manifest` and `config` are the platform's.

    `sources` are where the blobs are, in the order to try.
    """

    reference: Reference
    target: Descriptor
    target_raw: bytes
    manifest: Manifest
    config: ImageConfig
    sources: tuple[Repository, ...]

    @property
    def manifest_descriptor(self) -> Descriptor:
        return self.manifest.descriptor


def resolve(reference: Reference, sources: Sequence[Repository], platform: Platform | None, local: Local) -> Resolved:
    """Ask each of `sources` in turn for `reference`. `local` gives a blob that is here already.

    Raises NotFound (also when no manifest serves `platform`), Unsupported for what is no image, WrongBytes, Misbehaved.
    """
    reference = reference.tagged()
    last: LamellaError | None = None
    for number, source in enumerate(sources):
        try:
            return _resolve(reference, source, tuple(sources[number:]), platform, local)
        except LamellaError as error:
            last = error
            if not source.mirrored:
                raise
    assert last is not None, "there is at least one source"
    raise last


def _resolve(
    reference: Reference, source: Repository, sources: tuple[Repository, ...], platform: Platform | None, local: Local
) -> Resolved:
    raw, media_type = fetch_manifest(source, str(reference.digest or reference.tag), reference.digest)
    top = _parse(raw, media_type, reference)
    found = top
    for _ in range(DEPTH):
        if isinstance(found, Manifest):
            break
        found = _child(found, source, reference, platform, local)
    if not isinstance(found, Manifest):
        raise Unsupported(f"{reference.familiar}: its indexes are nested more than {DEPTH} deep")
    check_manifest(found, reference)
    config = _config(found, source, local)
    if len(config.diff_ids) != len(found.layers):
        raise WrongBytes(
            f"{reference.familiar}: the manifest has {len(found.layers)} layers, the config {len(config.diff_ids)}"
        )
    if platform and not platform.accepts(config.platform):
        raise NotFound(
            f"{reference.familiar} is for {config.platform}, not for {platform}",
            f"ask for --platform {config.platform}",
        )
    target = Descriptor(top.media_type, reference.digest or Digest.of(raw), len(raw))
    return Resolved(reference, target, raw, found, config, sources)


def _parse(raw: bytes, media_type: str, reference: Reference) -> Manifest | Index:
    try:
        found = parse_any(raw, media_type if media_type in ACCEPTED else "")
    except InvalidInput as error:
        raise Misbehaved(
            f"{reference.familiar}: {printable(error.message)}", "this is no registry, or it is broken"
        ) from error
    if found.media_type not in ACCEPTED:
        raise Unsupported(f"{reference.familiar} is no image but {printable(found.media_type, 100)}")
    return found


def fetch_manifest(source: Repository, name: str, digest: Digest | None) -> tuple[bytes, str]:
    """The manifest's bytes and its Content-Type. `digest` is verified where it is known. Raises WrongBytes, NotFound."""
    what = f"the manifest of {source}{'@' if digest else ':'}{name}"
    headers, raw = fetch(source, source.url(manifest_path, name), what, MAX_BYTES, {"Accept": ", ".join(ACCEPTED)})
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    claimed = headers.get("docker-content-digest", "")
    for expected in filter(None, (digest, _digest_or_none(claimed))):
        verify(raw, expected, what)
    return raw, media_type


def _digest_or_none(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except InvalidInput:
        return None


def verify(raw: bytes, digest: Digest, what: str) -> None:
    """Raises WrongBytes unless `digest` is that of `raw`."""
    actual = Digest.of(raw, digest.algorithm)
    if actual != digest:
        raise WrongBytes(
            f"{what}: expected {digest}, the bytes that came are {actual}", "nothing was stored; try again"
        )


def _child(
    index: Index, source: Repository, reference: Reference, platform: Platform | None, local: Local
) -> Manifest | Index:
    wanted = platform or host_platform()
    chosen = index.choose(wanted)
    if chosen is None:
        offered = sorted({str(m.platform) for m in index.manifests if m.platform and m.platform.os != "unknown"})
        shown = ", ".join(printable(one, 40) for one in offered[:12]) or "none"
        raise NotFound(f"no image for {wanted} in {reference.familiar}", f"it has: {shown}; choose with --platform")
    raw = local(chosen)
    media_type = chosen.media_type
    if raw is None:
        if chosen.size > MAX_BYTES:
            raise Misbehaved(f"{reference.familiar}: a manifest of {chosen.size} bytes is too big")
        raw, _ = fetch_manifest(source, str(chosen.digest), chosen.digest)
    return _parse(raw, media_type, reference)


def check_manifest(manifest: Manifest, reference: Reference) -> None:
    """Raises Unsupported for artifacts and for layers that we cannot read, Misbehaved for absurd numbers."""
    if manifest.config.media_type not in CONFIGS:
        kind = printable(manifest.artifact_type or manifest.config.media_type, 100)
        raise Unsupported(f"{reference.familiar} is no container image but {kind}")
    if len(manifest.layers) > MAX_LAYERS:
        raise Misbehaved(f"{reference.familiar} has {len(manifest.layers)} layers; {MAX_LAYERS} are the limit")
    for layer in manifest.layers:
        known = layer.media_type.startswith(
            ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
        )
        if not known or layer.media_type.endswith("+encrypted"):
            raise Unsupported(f"{reference.familiar} has a layer of type {printable(layer.media_type, 100)}")


def _config(manifest: Manifest, source: Repository, local: Local) -> ImageConfig:
    raw = local(manifest.config)
    if raw is None:
        raw = fetch_small(source, manifest.config, f"the config of {source}")
    try:
        return ImageConfig.parse(raw)
    except InvalidInput as error:
        raise Misbehaved(f"{source}: {printable(error.message)}") from error


def fetch_small(source: Repository, blob: Descriptor, what: str) -> bytes:
    """A blob that fits memory, verified. Raises WrongBytes, NotFound, Misbehaved when it is too big."""
    if blob.size > CONFIG_BYTES:
        raise Misbehaved(f"{what} would be {blob.size} bytes; {CONFIG_BYTES} are the limit")
    _, raw = fetch(source, source.url(blob_path, blob.digest), what, blob.size)
    if len(raw) != blob.size:
        raise WrongBytes(f"{what} has {len(raw)} bytes, {blob.size} were announced")
    verify(raw, blob.digest, what)
    return raw


def fetch(
    source: Repository, url: str, what: str, limit: int, headers: Mapping[str, str] | None = None
) -> tuple[Mapping[str, str], bytes]:
    """The headers and the whole body of `url`, at most `limit` bytes; asks again where the body breaks off."""
    attempt = 0
    while True:
        answer = source.ask(Request("GET", url, headers or {}), what, 200)
        try:
            return answer.headers, read_all(answer, limit, what)
        except ConnectionFailed as error:
            source.remote.patience.wait(attempt, error)
            attempt += 1
