"""What is in the images of a docker archive, as lines to compare: files with all their properties, config, history."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_KEYS = ("User", "WorkingDir", "Entrypoint", "Cmd", "Shell", "StopSignal", "Healthcheck", "OnBuild", "ArgsEscaped")
_TABLES = ("Labels", "ExposedPorts", "Volumes")
_LONG_AGO = 1577836800  # 2020: what is younger was made by the build
_TYPES = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.FIFOTYPE: "p", tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b"}


class Entry(NamedTuple):
    """A file, directory, ... as a line without its path. `node` tells names of one file from files that look alike."""

    line: str
    node: str


Tree = dict[str, Entry]


def pictures(archive: Path, base: Tree) -> dict[str, list[str]]:
    """Each image of the archive by its name without the tag: what it holds other than `base` does, and its config."""
    with tarfile.open(archive) as tar:
        found = {}
        trees: dict[tuple[str, ...], Tree] = {}
        for one in json.load(tar.extractfile("manifest.json")):  # type: ignore[arg-type]
            config = json.load(tar.extractfile(one["Config"]))  # type: ignore[arg-type]
            tree = _stacked(tar, tuple(one["Layers"] or ()), trees)
            lines = [*_files(tree, base), *_config(config), *_history(config)]
            for name in one["RepoTags"] or []:
                found[name.rpartition("/")[2].partition(":")[0]] = [_written(line) for line in lines]
        return found


def tree_of(archive: Path) -> Tree:
    """The files of the only image in an archive."""
    with tarfile.open(archive) as tar:
        (one,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        return _stacked(tar, tuple(one["Layers"]), {})


def _stacked(tar: tarfile.TarFile, layers: tuple[str, ...], trees: dict[tuple[str, ...], Tree]) -> Tree:
    if not layers:
        return {}
    if layers not in trees:
        tree = dict(_stacked(tar, layers[:-1], trees))
        member = tar.getmember(layers[-1])
        while member.issym():  # docker links a layer that it has written before
            member = tar.getmember(os.path.normpath(Path(member.name).parent / member.linkname))
        with tarfile.open(fileobj=tar.extractfile(member)) as layer:
            _apply(layer, tree, layers[-1])
        trees[layers] = tree
    return trees[layers]


def _apply(layer: tarfile.TarFile, tree: Tree, source: str) -> None:
    members = list(layer)
    for member in members:
        parent, _, name = _path(member.name).rpartition("/")
        if name == ".wh..wh..opq":
            _remove(tree, f"{parent}/", "")
        elif name.startswith(".wh."):
            _remove(tree, f"{parent}/", name[4:])
    for member in members:
        path = _path(member.name)
        if "/.wh." in path:
            continue
        if member.islnk():
            tree[path] = tree[_path(member.linkname)]
            continue
        if not member.isdir():
            _remove(tree, "", path)
        tree[path] = Entry(_line(layer, member), f"{source} {path}")


def _path(name: str) -> str:
    return "/" + name.removeprefix("./").strip("/") if name not in (".", "./", "/") else "/"


def _remove(tree: Tree, parent: str, name: str) -> None:
    gone = parent + name
    for path in [path for path in tree if path == gone or path.startswith(gone + "/" if name else gone)]:
        if path != "/":
            del tree[path]


def _line(layer: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    kind = _TYPES.get(member.type, "f")
    when = "now" if member.mtime > _LONG_AGO else time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(member.mtime)))
    words = [kind, "" if kind == "l" else f"{member.mode & 0o7777:o}", f"{member.uid}:{member.gid}", when]
    if kind == "l":
        words.append(f"-> {member.linkname}")
    elif kind in "cb":
        words.append(f"{member.devmajor}:{member.devminor}")
    elif kind == "f":
        words.append(_content(layer.extractfile(member).read()))  # type: ignore[union-attr]
    for key, value in sorted(member.pax_headers.items()):
        if key.startswith("SCHILY.xattr."):
            words.append(f"{key[13:]}={value.encode('utf-8', 'surrogateescape')!r}")
    return " ".join(word for word in words if word)


def _content(data: bytes) -> str:
    return repr(data)[1:] if len(data) <= 200 else f"{len(data)} bytes sha256:{hashlib.sha256(data).hexdigest()[:12]}"


def _undated(line: str) -> str:
    """A directory without its time: no rule says what happens to that when something is put into it."""
    return " ".join(line.split(" ")[:3]) if line.startswith("d ") else line


def _written(line: str) -> str:
    """As one line, with bytes that are no UTF-8 spelt out."""
    return line.replace("\n", "\\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _files(tree: Tree, base: Tree) -> Iterator[str]:
    mark = "/bin/busybox"
    if mark not in tree or tree[mark].line != base[mark].line:
        base = {}  # FROM scratch
    first: dict[str, str] = {}
    for path, entry in sorted(tree.items()):
        line = entry.line
        if path in base and line.startswith("d ") and base[path].line.startswith("d "):
            line = _undated(line)
        if path in base and line in (base[path].line, _undated(base[path].line)):
            continue
        same = first.setdefault(entry.node, path)
        yield f"{path} {line}" if same == path else f"{path} = {same}"
    yield from (f"{path} gone" for path in sorted(base.keys() - tree.keys()))


def _config(config: Mapping[str, Any]) -> Iterator[str]:
    inner = config.get("config") or {}
    yield from (f"Env {one}" for one in inner.get("Env") or [])
    for key in _TABLES:
        yield from (
            f"{key} {name}{f'={value}' if value else ''}" for name, value in sorted((inner.get(key) or {}).items())
        )
    yield from (f"{key} {json.dumps(inner[key], sort_keys=True)}" for key in _KEYS if inner.get(key))
    if config.get("author"):
        yield f"Author {config['author']}"


def _history(config: Mapping[str, Any]) -> Iterator[str]:
    for one in config.get("history") or []:
        empty = " (no layer)" if one.get("empty_layer") else ""
        yield f"history {one.get('created_by', '')}{empty}"
