"""The builders that are compared: each builds the cases of testdata/builds on a store of its own, and gives their pictures.

A case whose build fails has the picture `["fails"]`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.suites.archives import hex_of, manifest_json, tar
from tests.suites.build_cases import Case, lay_out
from tests.suites.dockerd import CLIENT, dockerd
from tests.suites.pictures import Tree, pictures, tree_of
from tests.suites.root_layer import root_layer

ROOT = Path(__file__).parents[2]
Pictures = dict[str, list[str]]
FAILS = ["fails"]
_SECONDS = 180  # for what others do in one, on a machine that is busy
BASES = {
    "bb": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
    "rich": {
        "Env": ["PATH=/bin", "FROM_BASE=1"], "Cmd": ["base-cmd"], "Entrypoint": ["base-entry"], "Labels": {"base": "1", "both": "base"},
        "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "User": "web", "WorkingDir": "/home/web", "StopSignal": "SIGINT",
        "Shell": ["/bin/sh", "-ec"], "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5000000000},
    },
    "triggers": {"Env": ["PATH=/bin"], "OnBuild": ["ENV TRIGGERED=1", "COPY . /on/", "RUN echo $TRIGGERED > /ran"]},
    "pathless": {"Cmd": ["/bin/sh"]},
}  # fmt: skip


class Work:
    """A directory with the contexts of all cases, and the base images as archives."""

    def __init__(self, directory: Path, cases: Sequence[Case]) -> None:
        self.directory, self.cases = directory, cases
        directory.mkdir(parents=True, exist_ok=True)
        layer = root_layer()
        for name, config in BASES.items():
            body = json.dumps({"architecture": "amd64", "os": "linux", "created": "2001-01-01T00:00:00Z", "config": config,
                               "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hex_of(layer)}"]},
                               "history": [{"created": "2001-01-01T00:00:00Z", "created_by": "the base"}]}).encode()  # fmt: skip
            file = f"{hex_of(body)}.json"
            archive = tar((file, body), ("layer.tar", layer), manifest_json(file, ["layer.tar"], f"{name}:latest"))
            self.base(name).write_bytes(archive)
        for case in cases:
            if not self.context(case).exists():
                lay_out(case, self.context(case))

    def base(self, name: str) -> Path:
        return self.directory / f"{name}.tar"

    def tree(self) -> Tree:
        return tree_of(self.base("bb"))

    def context(self, case: Case) -> Path:
        return self.directory / "contexts" / case.name


def built_by_lamella(work: Work) -> Pictures:
    """By this checkout's lamella, two builds at a time."""
    env = {
        **os.environ,
        "LAMELLA_ROOT": str(work.directory / "lamella"),
        "LAMELLA_NO_SYNC": "1",
        "PYTHONPATH": str(ROOT),
    }
    words = [sys.executable, "-m", "lamella"]
    for name in BASES:
        _must([*words, "load", "-q", "-i", work.base(name)], env)

    def build(case: Case) -> bool:
        return _works([*words, "build", "-q", *case.options, "-t", case.name, work.context(case)], env)

    with ThreadPoolExecutor(2) as pool:
        done = dict(zip([case.name for case in work.cases], pool.map(build, work.cases), strict=True))
    archive = work.directory / "lamella.tar"
    _must([*words, "save", "-o", archive, *(name for name, worked in done.items() if worked)], env)
    return {name: FAILS for name, worked in done.items() if not worked} | pictures(archive, work.tree())


def built_by_docker(work: Work, *, buildkit: bool) -> Pictures:
    """By the classic builder of Debian's docker, or by the BuildKit in it, which has no other network than the host's."""
    with dockerd(work.directory / f"docker{buildkit:d}") as started:
        env = {**started, "DOCKER_BUILDKIT": f"{buildkit:d}"}
        for name in BASES:
            _must([CLIENT, "load", "-q", "-i", work.base(name)], env)
        found = {}
        for case in work.cases:
            options = ["-q", "--no-cache", "--network", "host", *case.options, "-t", case.name]
            found[case.name] = FAILS
            if _works([CLIENT, "build", *options, work.context(case)], env):
                archive = work.directory / f"docker{buildkit:d}.tar"
                saved = _works([CLIENT, "save", "-o", archive, case.name], env)
                # Docker has no word for an image without layers.
                found |= pictures(archive, work.tree()) if saved else {case.name: ["cannot be saved"]}
        return found


def built_by_buildah(work: Work) -> Pictures:
    """By buildah, in a chroot."""
    store = ["--root", work.directory / "buildah", "--runroot", work.directory / "buildah-run"]
    words = ["unshare", "--mount", "buildah", *store, "--storage-driver", "overlay"]  # or its mounts would stay
    for name in BASES:
        _must([*words, "pull", "-q", f"docker-archive:{work.base(name)}"], os.environ)
    found = {}
    for case in work.cases:
        # OCI's config has no word for HEALTHCHECK, SHELL and ONBUILD.
        options = ["-q", "--format", "docker", "--layers", "--no-cache", "--isolation", "chroot", "--pull-never"]
        found[case.name] = FAILS
        if _works([*words, "build", *options, *case.options, "-t", case.name, work.context(case)], os.environ):
            archive = work.directory / f"buildah-{case.name}.tar"
            _must([*words, "push", "-q", case.name, f"docker-archive:{archive}:{case.name}:latest"], os.environ)
            found |= pictures(archive, work.tree())
            archive.unlink()
    return found


def built_by_buildkitd(work: Work) -> Pictures:
    """By a buildkitd and buildctl on the PATH."""
    with _buildkitd(work.directory / "buildkitd") as words:
        bases = list(_named_contexts(work))
        found = {}
        for case in work.cases:
            archive, context = work.directory / "buildkitd.tar", work.context(case)
            build = [*words, "build", "--frontend", "dockerfile.v0", "--no-cache", "--local", f"context={context}",
                     "--local", f"dockerfile={context}", *bases, *_options(case),
                     "--output", f"type=docker,dest={archive},name={case.name}:latest"]  # fmt: skip
            found[case.name] = FAILS
            # It takes a file of the context before for one of this, if only name, size and time are the same.
            _must([*words, "prune", "--filter", "type==source.local"], os.environ)
            if _works(build, os.environ):
                found |= pictures(archive, work.tree())
        return found


def _named_contexts(work: Work) -> Iterator[str]:
    """The bases as OCI layouts, made by hand: whoever converts them loses what OCI's config has no word for."""
    for name in BASES:
        layout = work.directory / f"{name}.layout"
        with tarfile.open(work.base(name)) as tar:
            file = json.load(tar.extractfile("manifest.json"))[0]["Config"]  # type: ignore[arg-type]
            config, layer = (tar.extractfile(one).read() for one in (file, "layer.tar"))  # type: ignore[union-attr]
        config_at = _blob(layout, config, "application/vnd.oci.image.config.v1+json")
        layer_at = _blob(layout, layer, "application/vnd.oci.image.layer.v1.tar")
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": config_at, "layers": [layer_at]}
        top = _blob(layout, json.dumps(manifest).encode(), kind)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
        yield from ("--oci-layout", f"{name}={layout}", "--opt", f"context:{name}=oci-layout://{name}@{top['digest']}")


def _blob(layout: Path, data: bytes, kind: str) -> dict[str, str | int]:
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / hex_of(data)).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{hex_of(data)}", "size": len(data)}


def _options(case: Case) -> Iterator[str]:
    """`docker build`'s options as buildctl has them."""
    words = iter(case.options)
    for word in words:
        if word == "--target":
            yield from ("--opt", f"target={next(words)}")
        elif word in ("--build-arg", "--label"):
            yield from ("--opt", f"{word[2:]}:{next(words)}")
        elif word == "-f":
            yield from ("--opt", f"filename={next(words)}")
        else:
            raise ValueError(f"an option that only docker knows: {word}")


@contextmanager
def _buildkitd(work: Path) -> Iterator[list[str]]:
    work.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="bkd") as short, (work / "log").open("wb") as log:
        address = f"unix://{short}/socket"
        path = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        daemon = subprocess.Popen(
            ["unshare", "--mount", "buildkitd", "--root", work / "data", "--addr", address, "--oci-worker-net", "host",
             "--containerd-worker=false"], stdout=log, stderr=log, env=path, start_new_session=True,
        )  # fmt: skip
        try:
            words = ["buildctl", "--addr", address]
            for _ in range(200):
                if _works([*words, "debug", "workers"], os.environ):
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError(f"buildkitd does not start: {(work / 'log').read_text()[-500:]}")
            yield words
        finally:
            daemon.terminate()
            daemon.wait(30)


def versions() -> dict[str, str]:
    """What is recorded, by the names of the builders; only those that are installed here."""
    docker = _first_line([CLIENT, "--version"])
    found = {
        "docker": f"{docker}, classic builder",
        "buildkit": f"{docker}, its BuildKit",
        "buildah": _first_line(["buildah", "--version"]),
    }
    if shutil.which("buildkitd") and shutil.which("buildctl"):
        found["buildkitd"] = _first_line(["buildkitd", "--version"])
    return found


def _first_line(words: Sequence[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def _works(words: Sequence[str | Path], env: Mapping[str, str]) -> bool:
    """Whether the command succeeds. One that does not end (docker and a lone fifo) fails."""
    try:
        subprocess.run(
            words, env=env, check=True, capture_output=True, cwd="/", timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.CalledProcessError as error:
        if os.environ.get("SHOW_FAILURES"):
            print(words[-1], error.stderr.decode()[-600:], file=sys.stderr)
        return False
    except subprocess.TimeoutExpired:
        return False
    return True


def _must(words: Sequence[str | Path], env: Mapping[str, str]) -> None:
    done = subprocess.run(words, env=env, capture_output=True, text=True, cwd="/", timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr[-500:]}")
