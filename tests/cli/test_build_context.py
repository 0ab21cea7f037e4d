"""Contexts of `lamella build` that come from elsewhere: stdin, web servers, git repositories."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.conftest import needs
from tests.suites.fileserver import Files, say, serving
from tests.suites.repositories import Repository, daemon

pytestmark = needs("crun", "git")
FILES = {"Dockerfile": "FROM bb\nCOPY . /c\nRUN cat /c/f\n", "f": "from the context\n", ".dockerignore": "f\n"}
COMPRESS = {
    "plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}  # fmt: skip


def tar(files: dict[str, str], *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid = len(text), 99
            file.addfile(entry, io.BytesIO(text.encode()))
        for entry in more:
            file.addfile(entry)
    return buffer.getvalue()


@pytest.fixture
def site() -> Iterator[Files]:
    with serving() as site:
        yield site


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repositories" / "app.git")


@pytest.fixture
def server(tmp_path: Path, repository: Repository) -> Iterator[str]:
    with daemon(tmp_path / "repositories") as server:
        yield server


@pytest.mark.parametrize("kind", COMPRESS)
def test_an_archive_is_a_context_on_stdin_and_from_a_server_and_no_dockerignore_counts(
    lamella, base, site, tmp_path, kind
):
    data = COMPRESS[kind](tar(FILES))
    (tmp_path / "context").write_bytes(data)
    with (tmp_path / "context").open() as stdin:
        assert "from the context" in lamella("build", "-", stdin=stdin).stderr
    site.files["/context"] = data
    done = lamella("build", f"{site.url}/context")
    assert "from the context" in done.stderr or "CACHED" in done.stderr


def test_a_dockerfile_alone_comes_from_a_server_too(lamella, base, site):
    site.files["/Dockerfile"] = b"FROM bb\nRUN echo alone; ls /\n"
    assert "alone" in lamella("build", f"{site.url}/Dockerfile").stderr
    done = lamella("build", "-f", "x", f"{site.url}/Dockerfile", check=False)
    assert done.returncode == 1 and "-f says nothing" in done.stderr


def test_a_dockerfile_by_its_url_goes_with_any_context(lamella, base, site, tmp_path, repository, server):
    site.files["/d"] = b"FROM bb\nCOPY f /f\nRUN cat /f\n"
    site.files["/context"] = tar({"f": "of the archive\n"})
    (tmp_path / "local").mkdir()
    (tmp_path / "local/f").write_text("local\n")
    repository.commit({"f": "of the repository\n"})
    for path, said in (
        (tmp_path / "local", "local"),
        (f"{site.url}/context", "of the archive"),
        (f"{server}/app.git", "of the repository"),
    ):
        assert said in lamella("build", "-f", f"{site.url}/d", path).stderr
    (tmp_path / "context").write_bytes(tar({"f": "of stdin\n"}))
    with (tmp_path / "context").open() as stdin:
        assert "of stdin" in lamella("build", "-f", f"{site.url}/d", "-", stdin=stdin).stderr


def test_a_repository_is_a_context_with_its_ref_and_directory_and_no_dockerignore_counts(
    lamella, base, repository, server
):
    repository.commit({f"sub/{name}": text for name, text in FILES.items()})
    repository.git("checkout", "-q", "-b", "other")
    repository.commit(
        {"Dockerfile": "FROM bb\nCOPY . /c\nRUN ls -A /c; cat /c/sub/f\n", "deep/D": "FROM bb\nRUN echo deep\n"}
    )
    assert "from the context" in lamella("build", f"{server}/app.git#main:sub").stderr
    assert "from the context" in lamella("build", "--no-cache", f"{server}/app.git?ref=main&subdir=sub").stderr
    said = lamella("build", f"{server}/app.git#other").stderr
    assert "from the context" in said and " .git\n" not in said
    assert "deep" in lamella("build", "-f", "deep/D", f"{server}/app.git#other").stderr
    assert (
        "hi there"
        in lamella("build", "-f", "-", f"{server}/app.git#other", input="FROM bb\nRUN echo hi there\n").stderr
    )
    kept = lamella(
        "build", "--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", "--no-cache", f"{server}/app.git#other"
    ).stderr
    assert " .git\n" in kept


def test_an_unchanged_repository_is_in_the_cache_as_a_whole(lamella, base, repository, server):
    repository.commit(FILES)
    first, second = (lamella("build", "-q", f"{server}/app.git").stdout for _ in range(2))
    assert first == second


def test_a_directory_wins_over_what_reads_as_an_address(lamella, base, tmp_path):
    (tmp_path / "github.com/a").mkdir(parents=True)
    (tmp_path / "github.com/a/Dockerfile").write_text("FROM bb\n")
    from tests.conftest import ROOT

    assert lamella("build", "github.com/a", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}).returncode == 0


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def test_archives_do_not_reach_out_of_the_context(lamella, base, site, tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    out = tarfile.TarInfo("../../../../../../../../../../../../../../tmp/lamella-escaped")
    site.files["/c"] = tar(
        {"Dockerfile": "FROM bb\nCOPY l /l\nRUN cat /l\n"}, out, link("l", str(tmp_path / "secret")),
        link("Dockerfile.link", str(tmp_path / "secret")),
    )  # fmt: skip
    for options in ([], ["-f", "Dockerfile.link"]):
        done = lamella("build", *options, f"{site.url}/c", check=False)
        assert done.returncode == 1 and "hush" not in done.stderr and not Path("/tmp/lamella-escaped").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (gzip.compress(b"no tar", mtime=0), "is no tar archive"),
        (b"\0\1\2" * 1000, "neither a tar archive nor a Dockerfile"),
        (gzip.compress(tar(FILES), mtime=0)[:-20], "cut short"),
        (tar(FILES)[:700], "ends in the middle of Dockerfile"),
        (tar({"x": "y"}), "no Dockerfile in the context from http://"),
        (tar({}, link("a", "../../../etc/passwd", tarfile.LNKTYPE)), "cannot be unpacked"),
        (b"R" * (5 << 20), "neither a tar archive nor a Dockerfile"),
    ],
)  # fmt: skip
def test_what_is_no_context_is_refused_in_one_clear_line_and_nothing_stays(lamella, site, data, said, store_root):
    site.files["/c"] = data
    done = lamella("build", f"{site.url}/c", check=False)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not list((store_root / "tmp").iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{site}/nope"], "the server answers 404"),
        (["http://127.0.0.1:1/c"], "connection refused"),
        (["git://127.0.0.1:1/c"], "git cannot read"),
        (["{server}/app.git#nope"], "no branch or tag 'nope'"),
        (["{server}/app.git#:nope"], "has no directory nope"),
        (["{server}/app.git?nope=1"], "unknown key"),
        (["-f", "nope", "{server}/app.git"], "no nope in the context from"),
        (["-f", "../../x", "{server}/app.git"], "no ../../x in the context from"),
        (["-f", "http://127.0.0.1:1/d.git", "."], "names no file"),
        (["ftp://127.0.0.1/c"], "there is no ftp"),
        (["-f", "{site}/large", "."], "more than"),
        (["git@:x"], "git@:x is no address"),
    ],
)  # fmt: skip
def test_contexts_that_cannot_be_had_are_one_clear_line(lamella, site, repository, server, words, said):
    repository.commit(FILES)
    site.rules["/large"] = lambda handler: say(handler, 200, b"#" * (5 << 20))
    done = lamella("build", *(word.format(site=site.url, server=server) for word in words), check=False)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
