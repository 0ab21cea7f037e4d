"""What the checks found in a file that has been looked at before: kept with the build cache, so that a build of a file
that has not changed loads no rules and still tells what they say."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.cache import check_key
from builder.context import ignore_file, ignore_rules
from builder.dockerfile.source import Finding, Span
from builder.request import PROXY_ARGS, BuildRequest
from builder.stages import BaseImage
from store.records import Record

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Dockerfile
    from builder.plan import Planner
    from store.store import Store

BUILD_ARG = "BUILDKIT_DOCKERFILE_CHECK"
Told = Callable[[tuple[Finding, ...]], None]


def nobody(findings: tuple[Finding, ...]) -> None:
    """Nobody wants to hear it."""


def findings_of(request: BuildRequest, dockerfile: Dockerfile, planner: Planner, store: Store) -> tuple[Finding, ...]:
    """What the checks say of what has been planned. Raises InvalidInput for a check directive that makes no sense."""
    key = _key(request, planner)
    known = store.records.get(key)
    if known is None:
        from builder.checks.verdict import options_for, verdict

        ignore = ignore_rules(request.context, request.dockerfile_path, sent=request.sent)
        findings = verdict(request, dockerfile, planner, ignore, options_for(request, dockerfile))
        rows = [[one.rule, one.message, one.span.line, one.span.end_line] for one in findings]
        now = time.time_ns()
        with store.transaction(durable=False):
            store.records.add(Record(key, None, json.dumps(rows).encode(), now, now))
        return findings
    return tuple(
        Finding(rule, message, Span(dockerfile.name, line, end_line))
        for rule, message, line, end_line in json.loads(known.value)
    )


def refuse(request: BuildRequest, dockerfile: Dockerfile, findings: tuple[Finding, ...]) -> None:
    """Raises CheckFailed where there are findings, and the file wants them to be errors."""
    asked = request.args.get(BUILD_ARG, dockerfile.directives.check)
    if findings and "error" in asked:
        from builder.checks.verdict import CheckFailed, options_for

        if options_for(request, dockerfile).error:
            raise CheckFailed(findings)


def _key(request: BuildRequest, planner: Planner) -> str:
    """Of everything that decides what the rules find: the text, the names it sees, the stages, the images below them."""
    args = sorted((name, value) for name, value in request.args.items() if name not in PROXY_ARGS)
    bases = [[n, base.image.id if isinstance(base, BaseImage) else ""] for n, base in sorted(planner.bases.items())]
    ignored = ignore_file(request.context, request.dockerfile_path, sent=request.sent)
    text = hashlib.sha256(request.dockerfile + b"\0" + (ignored.read_bytes() if ignored else b"")).hexdigest()
    return check_key([text, args, request.target, str(request.platform), bases])
