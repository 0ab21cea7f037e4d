"""`build --check` and `build --call=…`: what can be told of a Dockerfile without building it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from builder.dockerfile.source import DockerfileError, suggestion
from core.errors import InvalidInput, Unavailable, Unsupported
from core.value import Value

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Dockerfile
    from builder.plan import Planner
    from builder.request import BuildRequest
    from builder.stages import BaseImage
    from cli.settings import Settings
    from image.config import ImageConfig
    from image.descriptor import Descriptor
    from image.platform import Platform
    from store.store import Store

METHODS = ("build", "check", "outline", "targets")


class Call(Value):
    """`json` for programs; with `ignore_status`, findings do not make the command fail."""

    method: str
    json: bool = False
    ignore_status: bool = False


def read_call(text: str, *, check: bool) -> Call | None:
    """The value of --call; None for a build. Raises InvalidInput."""
    method, *options = (text or "build").split(",")
    method = method.removeprefix("method=")
    if check and text and method != "check":
        raise InvalidInput(f"--check is --call=check, and does not go with --call={method}", "leave one of them out")
    method = "check" if check else {"lint": "check"}.get(method, method)
    if method not in METHODS:
        raise InvalidInput(
            f"--call={method} does not exist", suggestion(method, METHODS) or f"there are {', '.join(METHODS)}"
        )
    formats = {option.removeprefix("format=") for option in options if option.startswith("format=")}
    wrong = [one for one in options if one not in ("format=json", "format=text", "ignorestatus", "ignorestatus=true")]
    if wrong:
        raise InvalidInput(f"invalid --call: {text!r}", "write it like --call=check,format=json,ignorestatus")
    ignored = any(option.startswith("ignorestatus") for option in options)
    return None if method == "build" else Call(method, "json" in formats, ignored)


def answer(settings: Settings, call: Call, request: BuildRequest) -> int:
    """Print what `call` asks about `request`; the exit code."""
    from builder.checks.calls import targets_answer
    from builder.dockerfile.parser import parse

    if call.method == "check":
        return _check(settings, call, request)
    dockerfile = parse(request.dockerfile, request.dockerfile_name)
    if call.method == "targets":
        _print(call, targets_answer(dockerfile, request.dockerfile), _targets_text)
        return 0
    from builder.checks.calls import outline_answer

    with _planner(settings, request, dockerfile) as (planner, _):
        target = planner.plan()
        _print(call, outline_answer(dockerfile, request.dockerfile, planner, target), _outline_text)
    return 0


def _check(settings: Settings, call: Call, request: BuildRequest) -> int:
    from builder.checks.calls import check_answer
    from builder.checks.verdict import options_for, unknown_rules, verdict
    from builder.context import ignore_rules
    from builder.dockerfile.parser import parse
    from cli.build_findings import check_text

    dockerfile = parse(request.dockerfile, request.dockerfile_name)
    options = options_for(request, dockerfile)
    for sentence in unknown_rules(dockerfile, options):
        sys.stderr.write(f"WARNING: {sentence}\n")
    ignore = ignore_rules(request.context, request.dockerfile_path, sent=request.sent)
    with _planner(settings, request, dockerfile) as (planner, unknown):
        error = _plan_all(planner, dockerfile, request)
        findings = verdict(request, dockerfile, planner, ignore, options, unknown)
    if call.json:
        _print(call, check_answer(request.dockerfile_name, request.dockerfile, findings, error), str)
    elif findings or not error:
        sys.stdout.write(check_text(findings, request.dockerfile))
    if error:
        raise error
    return int(bool(findings) and not call.ignore_status)


def _plan_all(planner: Planner, dockerfile: Dockerfile, request: BuildRequest) -> DockerfileError | None:
    """The whole file, or the target if there is one; the error at which a build of it would end."""
    try:
        if request.target:
            planner.plan()
        for number in range(0 if request.target else len(dockerfile.stages)):
            planner.stage(number)
    except DockerfileError as error:
        return error
    return None


@contextmanager
def _planner(settings: Settings, request: BuildRequest, dockerfile: Dockerfile) -> Iterator[tuple[Planner, set[str]]]:
    """A planner that knows what images say of themselves, without having them; and the names of those that cannot be
    asked for now, which it takes for empty ones."""
    from builder.plan import Planner
    from cli.wiring import open_store

    unknown: set[str] = set()
    with open_store(settings) as store:
        finder = _finder(settings, store, unknown)
        yield Planner(request, dockerfile, finder, lambda layout, _: _unknown(str(layout.path), unknown)), unknown


def _unknown(name: str, unknown: set[str]) -> BaseImage:
    from builder.stages import BaseImage
    from image.config import scratch
    from image.descriptor import Descriptor
    from image.digest import Digest

    unknown.add(name)
    sys.stderr.write(f"WARNING: {name} cannot be asked for now: its variables are not known\n")
    config = scratch()
    return BaseImage(_image(config, Descriptor("", Digest.of(b""), 0)), config, name)


def _finder(settings: Settings, store: Store, unknown: set[str]) -> Callable[[str, Platform], BaseImage]:
    from builder.stages import BaseImage
    from image.reference import Reference
    from images.resolve import lookup

    def find(name: str, platform: Platform) -> BaseImage:
        reference = Reference.parse(name).tagged()
        found = lookup(store, reference)
        if found:
            return BaseImage(found, store.images.config(found.id), name)
        try:
            return _remote(settings, store, name, platform)
        except (Unavailable, Unsupported):
            return _unknown(name, unknown)

    return find


def _remote(settings: Settings, store: Store, name: str, platform: Platform) -> BaseImage:
    from builder.stages import BaseImage
    from cli.wiring import open_client
    from image.reference import Reference

    with open_client(settings) as client:
        found = client.resolve(Reference.parse(name).tagged(), platform, store=store)
    return BaseImage(_image(found.config, found.manifest_descriptor), found.config, name)


def _image(config: ImageConfig, manifest: Descriptor) -> Any:
    from store.images import Image

    return Image(config.id, manifest, None, 0, config.platform, 0, config.diff_ids)


def _print(call: Call, data: dict[str, Any], text: Callable[[dict[str, Any]], str]) -> None:
    if call.json:
        import json

        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(text(data))


def _targets_text(data: dict[str, Any]) -> str:
    rows = [["TARGET", "DESCRIPTION"]]
    for target in data["targets"]:
        mark = "(default)" if target.get("default") else ""
        rows.append([" ".join(filter(None, [target.get("name", ""), mark])), target.get("description", "")])
    return _columns(rows, 1)


def _outline_text(data: dict[str, Any]) -> str:
    parts = []
    if data.get("name") or data.get("description"):
        head = [["TARGET:", data.get("name") or "(default)"], ["DESCRIPTION:", data.get("description", "")]]
        parts.append(_columns([row for row in head if row[1]], 1))
    args = [[one["name"], one.get("value", ""), one.get("description", "")] for one in data.get("args", ())]
    parts.append(_columns([["BUILD ARG", "VALUE", "DESCRIPTION"], *args], 3) if args else "")
    for kind, heading in (("secrets", "SECRET"), ("ssh", "SSH")):
        rows = [[one["name"], "true" if one.get("required") else ""] for one in data.get(kind, ())]
        parts.append(_columns([[heading, "REQUIRED"], *rows], 3) if rows else "")
    return "".join(f"{part}\n" for part in parts if part)


def _columns(rows: Sequence[Sequence[str]], padding: int) -> str:
    widths = [max(map(len, column)) + padding for column in zip(*rows, strict=True)]
    lines = ["".join(c.ljust(w) for c, w in zip(row[:-1], widths, strict=False)) + row[-1] for row in rows]
    return "\n".join([*lines, ""])
