"""Lists: tags, repositories, referrers, each a page at a time (distribution-spec end-8, end-12; `_catalog` as Docker has it)."""

from __future__ import annotations

from urllib.parse import quote

from image.media_types import OCI_INDEX
from registry.protocol import CATALOG, FILTERS_HEADER, Code, referrers_path, tags_path
from registry.server.answers import Answer, json_answer
from registry.server.errors import ApiError, Headers, unknown_name
from registry.server.metadata.protocol import Referrer
from registry.server.registry import Registry
from registry.server.request import Request

PAGE = 10_000
REFERRERS_PAGE = 1_000


async def tags(registry: Registry, request: Request) -> Answer:
    """Sorted by bytes; `n` and `last` as the spec has them, at most PAGE at once."""
    limit, after = _page(request)
    found = await registry.do(registry.metadata.tags, request.name, after, limit + 1)
    if found is None:
        raise unknown_name(request.name)
    return json_answer({"name": request.name, "tags": found[:limit]}, _next(tags_path(request.name), found, limit))


async def catalog(registry: Registry, request: Request) -> Answer:
    limit, after = _page(request)
    found = await registry.do(registry.metadata.repositories, after, limit + 1)
    return json_answer({"repositories": found[:limit]}, _next(CATALOG, found, limit))


async def referrers(registry: Registry, request: Request) -> Answer:
    """Never 404: what nobody refers to has an empty list, in a repository nobody has pushed to as well."""
    subject, kind = request.digest(), request.query("artifactType") or ""
    after = request.query("last") or ""
    found = await registry.do(registry.metadata.referrers, request.name, subject, kind, after, REFERRERS_PAGE + 1)
    headers = [(FILTERS_HEADER, "artifactType")] if kind else []
    if len(found) > REFERRERS_PAGE:
        query = f"?last={found[REFERRERS_PAGE - 1].digest}" + (f"&artifactType={quote(kind, safe='')}" if kind else "")
        headers.append(("link", f'<{referrers_path(request.name, subject)}{query}>; rel="next"'))
    manifests = [_descriptor(one) for one in found[:REFERRERS_PAGE]]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return json_answer(index, headers, media_type=OCI_INDEX)


def _descriptor(one: Referrer) -> dict[str, object]:
    data: dict[str, object] = {"mediaType": one.media_type, "digest": one.digest, "size": one.size}
    if one.artifact_type:
        data["artifactType"] = one.artifact_type
    return data | ({"annotations": dict(one.annotations)} if one.annotations else {})


def _page(request: Request) -> tuple[int, str]:
    text = request.query("n")
    if text is not None and not (text.isascii() and text.isdigit()):
        raise ApiError(400, Code.PAGINATION_NUMBER_INVALID, "n is not a number", detail={"n": text[:100]})
    return min(PAGE, int(text[:9]) if text else PAGE), request.query("last") or ""


def _next(path: str, found: list[str], limit: int) -> Headers:
    """The Link to what comes after the page, where something does."""
    if len(found) <= limit or limit == 0:
        return []
    return [("link", f'<{path}?n={limit}&last={quote(found[limit - 1], safe="")}>; rel="next"')]
