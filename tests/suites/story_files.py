"""The files that the story of images is told with: archives and build contexts, the same for every engine."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from image.digest import DiffID, chain_id
from tests.suites.archives import config, hex_of, legacy, manifest_json, tar

# What layers hold, in bytes. Docker counts files and lamella their tar: both are the same in three digits.
SIZES = {"base": 2_998_000, "web": 2_998_000, "db": 3_998_000, "new": 4_998_000, "context": 1_999_000}


def lay_out(directory: Path, busybox: Path) -> dict[str, str]:
    """Write everything that the story names into `directory`; what it calls the images and layers in there, by hex digits."""
    directory.mkdir(parents=True)
    base, web, db, new, other = (
        _base(busybox),
        _layer("web"),
        _layer("db"),
        _layer("new"),
        _tar([("srv/other", b"other")]),
    )
    images = {
        "base.tar": [(_config(2020, base), [base], ["base:1"])],
        "shop.tar": [
            (_config(2021, base, web, Labels={"tier": "front", "team": "blue"}), [base, web], ["shop/web:1", "shop/web:stable"]),
            (_config(2022, base, db, Labels={"tier": "back", "team": "blue"}), [base, db], ["shop/db:1"]),
        ],
        "newer.tar": [(_config(2023, base, new, Labels={"tier": "front"}), [base, new], ["shop/web:1"])],
        "nameless.tar": [(_config(2019, new), [new], [])],
        "wrong.tar": [(_config(2019, other), [db], ["wrong:1"])],
        "short.tar": [(_config(2019, web, db), [web], ["short:1"])],
    }  # fmt: skip
    for name, those in images.items():
        (directory / name).write_bytes(_archive(those))
    (directory / "base.tar.gz").write_bytes(gzip.compress((directory / "base.tar").read_bytes(), 1))
    (directory / "old.tar").write_bytes(tar(*legacy(web, db, names={"old": {"1": "l1"}})))
    (directory / "empty.tar").write_bytes(tar())
    (directory / "text.tar").write_text("this is no archive\n" * 100)
    (directory / "stranger.tar").write_bytes(tar(("some/file", b"x")))
    _contexts(directory / "contexts")
    named = ("base.tar", "shop.tar", "newer.tar", "nameless.tar")
    configs = [config for name in named for config, _, _ in images[name]]
    names = {
        hex_of(config): name for config, name in zip(configs, ("base", "web", "db", "newer", "nameless"), strict=True)
    }
    stacks = {
        "bottom": (base,),
        "web layer": (base, web),
        "db layer": (base, db),
        "new layer": (base, new),
        "lone layer": (new,),
    }
    return names | {_chain(stack): name for name, stack in stacks.items()}


def _chain(layers: Sequence[bytes]) -> str:
    return chain_id([DiffID(f"sha256:{hex_of(layer)}") for layer in layers]).hex


def _contexts(directory: Path) -> None:
    for name, dockerfile in {
        "app": "FROM base:1\nCOPY file /\n",
        "plug": "FROM app:1\nCOPY file /plug\n",
        "steps": 'FROM base:1\nENV MODE=on\nCOPY file /\nRUN sh -c "echo hi > /hi"\nLABEL made=here\nCMD ["sleep", "9"]\n',
    }.items():
        context = directory / name
        context.mkdir(parents=True)
        (context / "Dockerfile").write_text(dockerfile)
        (context / "file").write_text(name.ljust(SIZES["context"]))


def _archive(images: Sequence[tuple[bytes, Sequence[bytes], Sequence[str]]]) -> bytes:
    """A docker-archive of several images, in which each layer is written once."""
    import json

    files: dict[str, bytes] = {}
    entries: list[dict[str, Any]] = []
    for number, (text, layers, names) in enumerate(images):
        files[f"config{number}.json"] = text
        paths = [f"{hex_of(layer)}/layer.tar" for layer in layers]
        files |= dict(zip(paths, layers, strict=True))
        entry = json.loads(manifest_json(f"config{number}.json", paths, *names)[1])[0]
        entries.append(entry)
    return tar(*files.items(), ("manifest.json", json.dumps(entries).encode()))


def _config(year: int, *layers: bytes, **fields: Any) -> bytes:
    at = f"{year}-03-04T05:06:07.089Z"
    steps = [{"created": at, "created_by": f"/bin/sh -c #(nop) ADD layer {n} in / "} for n in range(len(layers))]
    last = {
        "created": at,
        "created_by": '/bin/sh -c #(nop)  CMD ["sleep" "300"]',
        "empty_layer": True,
        "comment": "by hand",
    }
    inner = {"Cmd": ["sleep", "300"], "Env": ["PATH=/bin"], **fields}
    return config(*layers, created=at, config=inner, history=[*steps, last])


def _base(busybox: Path) -> bytes:
    """A layer with a busybox that is always as long: zeros after a static program do not matter to it."""
    program = busybox.read_bytes()
    files: list[tuple[str, bytes | str]] = [("bin/busybox", program.ljust(SIZES["base"], b"\0"))]
    return _tar([*files, *((f"bin/{name}", "busybox") for name in ("sh", "sleep", "true", "echo"))])


def _layer(name: str) -> bytes:
    return _tar([(f"srv/{name}", name.encode().ljust(SIZES[name], b"."))])


def _tar(files: Sequence[tuple[str, bytes | str]]) -> bytes:
    """A tar of programs and links, without what a tape needs at the end."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as out:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            out.addfile(entry, None if isinstance(content, str) else io.BytesIO(content))
        end = out.offset
    return buffer.getvalue()[: end + 1024]


def busybox() -> Path:
    """This machine's static busybox."""
    found = shutil.which("busybox")
    assert found, "needs busybox-static"
    return Path(found)
