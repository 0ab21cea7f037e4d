"""What client and server must agree on: paths, names, header names and error codes (OCI distribution-spec 1.1)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

BASE = "/v2/"
CATALOG = "/v2/_catalog"
MAX_NAME = 255
MAX_MANIFEST_BYTES = 4 * 1024 * 1024

NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

API_VERSION = ("docker-distribution-api-version", "registry/2.0")
DIGEST_HEADER = "docker-content-digest"
UPLOAD_HEADER = "docker-upload-uuid"
SUBJECT_HEADER = "oci-subject"
TAG_HEADER = "oci-tag"
FILTERS_HEADER = "oci-filters-applied"


class Code(StrEnum):
    """Error codes (distribution-spec "Error Codes"), and the three that registries add to them."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    SIZE_INVALID = "SIZE_INVALID"
    UNAUTHORIZED = "UNAUTHORIZED"
    DENIED = "DENIED"
    UNSUPPORTED = "UNSUPPORTED"
    TOOMANYREQUESTS = "TOOMANYREQUESTS"
    TAG_INVALID = "TAG_INVALID"
    PAGINATION_NUMBER_INVALID = "PAGINATION_NUMBER_INVALID"
    UNKNOWN = "UNKNOWN"


class Kind(StrEnum):
    """What a path leads to."""

    BASE = "base"
    CATALOG = "catalog"
    MANIFESTS = "manifests"
    BLOBS = "blobs"
    UPLOADS = "uploads"
    TAGS = "tags"
    REFERRERS = "referrers"


class Route(NamedTuple):
    """A path taken apart. `name` and `reference` are not checked yet; `reference` is the tag, digest or session id."""

    kind: Kind
    name: str = ""
    reference: str = ""


_LEAVES = {
    "manifests": Kind.MANIFESTS, "blobs": Kind.BLOBS, "uploads": Kind.UPLOADS, "tags": Kind.TAGS, "referrers": Kind.REFERRERS,
}  # fmt: skip


def parse_path(path: str) -> Route | None:
    """The route of a decoded path, read from its end since names contain slashes; None for a path of no meaning here."""
    if path in (BASE, "/v2"):
        return Route(Kind.BASE)
    if path in (CATALOG, CATALOG + "/"):
        return Route(Kind.CATALOG)
    if not path.startswith(BASE):
        return None
    parts = path[len(BASE) :].rsplit("/", 2)
    kind = _LEAVES.get(parts[1]) if len(parts) == 3 else None
    if kind is None:
        return None
    name, _, reference = parts
    if kind is Kind.UPLOADS:
        return Route(kind, name[: -len("/blobs")], reference) if name.endswith("/blobs") else None
    if kind is Kind.BLOBS and reference == "uploads":
        return Route(Kind.UPLOADS, name)
    if kind is Kind.TAGS and reference != "list":
        return None
    return Route(kind, name, reference)


def is_name(text: str) -> bool:
    """Whether `text` is the name of a repository."""
    return len(text) <= MAX_NAME and NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return TAG.fullmatch(text) is not None


def manifest_path(name: str, reference: str) -> str:
    """The path of a manifest by tag or digest."""
    return f"/v2/{name}/manifests/{reference}"


def blob_path(name: str, digest: str) -> str:
    return f"/v2/{name}/blobs/{digest}"


def uploads_path(name: str) -> str:
    """Where an upload is opened by POST."""
    return f"/v2/{name}/blobs/uploads/"


def mount_path(name: str, digest: str, source: str = "") -> str:
    """Where a blob is mounted by POST: from the repository `source`, or from wherever the registry has it."""
    return f"/v2/{name}/blobs/uploads/?mount={digest}" + (f"&from={quote(source, safe='')}" if source else "")


def upload_path(name: str, session: str) -> str:
    return f"/v2/{name}/blobs/uploads/{session}"


def tags_path(name: str) -> str:
    return f"/v2/{name}/tags/list"


def referrers_path(name: str, digest: str) -> str:
    return f"/v2/{name}/referrers/{digest}"
