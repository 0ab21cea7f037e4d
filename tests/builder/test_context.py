"""What COPY and ADD find in a context, and when the content part of their cache key changes."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import shutil
import socket
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.context import Context, SourceNotFound
from builder.context_stream import is_tar, receive
from builder.dockerfile.ignore import Ignore
from core.errors import InvalidInput
from store.file_digests import FileDigests, FileKey

FILES = [
    "a.txt",
    "b.txt",
    "src/main.py",
    "src/deep/er/x.py",
    "src/deep/y.md",
    "docs/a.md",
    "docs/keep/b.md",
    "odd[1].txt",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    fill(root)
    return root


def fill(root: Path) -> None:
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}")
    (root / "link").symlink_to("src/deep")
    (root / "outward").symlink_to("/etc")
    (root / "to-file").symlink_to("/a.txt")


def names(context: Context, *sources: str, parents: bool = False) -> list[str]:
    return [source.name for source in context.select(sources, parents=parents)]


def contents(context: Context, source: str, *exclude: str, parents: bool = False) -> list[str]:
    (found,) = context.select([source], parents=parents)
    return [name for name, _ in context.entries(found, Ignore.of(exclude))]


class TestSelect:
    @pytest.mark.parametrize(
        "wanted", ["src/main.py", "/src/main.py", "./src//main.py", "../../src/main.py", "src/main.py/"]
    )
    def test_a_path_ends_at_the_root(self, root: Path, wanted: str) -> None:
        assert names(Context.local(root), wanted) == ["src/main.py"]

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ("*.txt", ["a.txt", "b.txt", "odd[1].txt"]),
            ("?.txt", ["a.txt", "b.txt"]),
            ("[b-z].txt", ["b.txt"]),
            ("src/*", ["src/deep", "src/main.py"]),
            ("*/*.md", ["docs/a.md"]),
            ("s*/d*/*.md", ["src/deep/y.md"]),
            ("odd[[]1].txt", ["odd[1].txt"]),
            ("nothing*", []),
            ("**/y.md", []),
        ],
    )
    def test_wildcards_match_as_in_go(self, root: Path, wanted: str, expected: list[str]) -> None:
        assert names(Context.local(root), wanted) == expected

    def test_links_in_a_source_are_followed_inside_the_context(self, root: Path) -> None:
        directory, file = Context.local(root).select(["link", "to-file"])
        assert directory.is_directory and directory.path == root / "src/deep"
        assert (file.name, file.base, file.path) == ("to-file", "to-file", root / "a.txt")

    def test_links_never_lead_out(self, root: Path) -> None:
        with pytest.raises(SourceNotFound, match="outward"):
            Context.local(root).select(["outward/passwd"])

    def test_links_inside_a_directory_stay_links(self, root: Path) -> None:
        (root / "src/inside").symlink_to("main.py")
        assert "inside" in contents(Context.local(root), "src")

    def test_a_wildcard_does_not_look_behind_links(self, root: Path) -> None:
        assert names(Context.local(root), "lin*/*.md") == []

    def test_a_missing_source_says_so_with_what_is_near(self, root: Path) -> None:
        with pytest.raises(SourceNotFound) as caught:
            Context.local(root).select(["src/mian.py"])
        assert caught.value.message == f"src/mian.py: not found in the build context {root}"
        assert caught.value.hint == "did you mean src/main.py?"

    def test_a_source_that_is_left_out_says_by_which_rule(self, root: Path) -> None:
        context = Context.local(root, Ignore.parse(b"# c\n*.txt\nsrc\n"))
        for wanted, line in (("a.txt", 2), ("src/main.py", 3), ("link/y.md", 3)):
            with pytest.raises(SourceNotFound, match=rf"{wanted}: excluded by .dockerignore line {line} \("):
                context.select([wanted])
        assert names(context, "d*", "*.txt") == ["docs"]

    def test_a_link_that_leads_nowhere_is_missing_for_a_wildcard_too(self, root: Path) -> None:
        with pytest.raises(SourceNotFound, match="outward: "):
            Context.local(root).select(["*"])
        assert names(Context.local(root, Ignore.parse(b"outward")), "l*", "o*d") == ["link"]

    def test_a_directory_that_is_left_out_is_there_for_what_comes_back(self, root: Path) -> None:
        context = Context.local(root, Ignore.parse(b"docs\n!docs/keep\nsrc\n!src/nothing\n"))
        assert contents(context, "docs") == ["keep", "keep/b.md"]
        with pytest.raises(SourceNotFound):
            context.select(["src"])

    def test_a_context_is_a_directory(self, root: Path) -> None:
        with pytest.raises(InvalidInput, match="no directory"):
            Context.local(root / "a.txt")


class TestEntries:
    def test_directories_come_before_what_is_in_them(self, root: Path) -> None:
        assert contents(Context.local(root), "src") == ["deep", "deep/er", "deep/er/x.py", "deep/y.md", "main.py"]

    def test_ignored_entries_are_not_there(self, root: Path) -> None:
        context = Context.local(root, Ignore.parse(b"**/*.md\nlink\nout*\n*.txt\nto-file"))
        assert contents(context, ".") == [
            "docs",
            "docs/keep",
            "src",
            "src/deep",
            "src/deep/er",
            "src/deep/er/x.py",
            "src/main.py",
        ]

    def test_a_file_that_comes_back_brings_its_directories(self, root: Path) -> None:
        context = Context.local(root, Ignore.parse(b"*\n!src/deep/er/x.py\n"))
        assert contents(context, ".") == ["src", "src/deep", "src/deep/er", "src/deep/er/x.py"]

    def test_exclude_is_relative_to_the_source(self, root: Path) -> None:
        assert contents(Context.local(root), "src", "deep/*", "!deep/y.md", "main.*") == ["deep", "deep/y.md"]

    def test_exclude_does_not_see_a_source_that_is_a_file(self, root: Path) -> None:
        assert contents(Context.local(root), "a.txt", "*") == [""]

    def test_parents_keep_the_path(self, root: Path) -> None:
        context = Context.local(root)
        assert contents(context, "src/deep/er", parents=True) == ["src", "src/deep", "src/deep/er", "src/deep/er/x.py"]
        assert contents(context, "src/./deep/y.md", parents=True) == ["deep", "deep/y.md"]
        assert contents(context, "src/**/*.py", parents=True) == [
            "src",
            "src/deep",
            "src/deep/er",
            "src/deep/er/x.py",
            "src/main.py",
        ]

    def test_parents_without_a_wildcard_must_exist(self, root: Path) -> None:
        with pytest.raises(SourceNotFound, match="src/nope"):
            Context.local(root).select(["src/nope"], parents=True)

    def test_skip_decides_for_whoever_walks_himself(self, root: Path) -> None:
        for rules in (b"**/*.md\nsrc", b"**/*.md\nsrc\n!src/deep/y.md", b""):
            context = Context.local(root, Ignore.parse(rules))
            (source,) = context.select(["."])
            skip = context.skip(source)
            kept = {name for name, _ in context.entries(source)}
            walked = {os.path.relpath(path, root) for path in root.rglob("*")}
            assert kept == {name for name in walked if not any(skip and skip(one, True) for one in above(name))}


def above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


PARTS = st.sampled_from(["src", "docs", "deep", "*", "**", "*.md", "*.py", "keep", "er", "a.txt", "?.txt", "**/y.md"])
RULES = st.lists(
    st.builds(lambda a, p: ("!" if a else "") + "/".join(p), st.booleans(), st.lists(PARTS, min_size=1, max_size=3)), max_size=5
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    fill(root)
    return root


@settings(max_examples=200, deadline=None)
@given(RULES, RULES, st.sampled_from([".", "src", "docs"]))
def test_a_walk_finds_what_the_rules_leave_in(tree: Path, ignored: list[str], excluded: list[str], below: str) -> None:
    ignore, exclude = Ignore.of(ignored), Ignore.of(excluded)
    context = Context.local(tree, ignore)
    try:
        found = contents(context, below, *excluded)
    except SourceNotFound:
        found = []
    top = tree / below
    left = {
        str(path.relative_to(top))
        for path in top.rglob("*")
        if not ignore.ignores(str(path.relative_to(tree))) and not exclude.ignores(str(path.relative_to(top)))
    }
    expected = {one for name in left for one in above(name)}
    assert set(found) == expected and len(found) == len(expected)


def checksum(
    root: Path, *sources: str, ignore: bytes = b"", owners: bool = False, digests: FileDigests | None = None
) -> str:
    context = Context.tree(root, digests) if owners else Context.local(root, Ignore.parse(ignore), digests)
    return context.checksum(context.select(sources))


def grow(root: Path) -> None:
    (root / "src/new").write_text("")


def shrink(root: Path) -> None:
    (root / "src/main.py").unlink()


def rewrite(root: Path) -> None:
    path = root / "src/main.py"
    path.write_text(path.read_text().upper())


def rename(root: Path) -> None:
    (root / "src/main.py").rename(root / "src/niam.py")


def chmod(root: Path) -> None:
    (root / "src/main.py").chmod(0o600)


def chmod_directory(root: Path) -> None:
    (root / "src/deep").chmod(0o700)


def become_link(root: Path) -> None:
    (root / "src/main.py").unlink()
    (root / "src/main.py").symlink_to("deep/y.md")


def become_fifo(root: Path) -> None:
    (root / "src/main.py").unlink()
    os.mkfifo(root / "src/main.py")


def hardlink(root: Path) -> None:
    (root / "src/main.py").unlink()
    os.link(root / "src/deep/y.md", root / "src/main.py")


def attribute(root: Path) -> None:
    os.setxattr(root / "src/main.py", "user.note", b"x")


def touch(root: Path) -> None:
    os.utime(root / "src/main.py", (1, 1))
    os.utime(root / "src/deep", (1, 1))


def elsewhere(root: Path) -> None:
    (root / "docs/a.md").write_text("other")


def chmod_top(root: Path) -> None:
    (root / "src").chmod(0o700)


def rewrite_the_same(root: Path) -> None:
    text = (root / "src/main.py").read_text()
    (root / "src/main.py").unlink()
    (root / "src/main.py").write_text(text)


CHANGES = [grow, shrink, rewrite, rename, chmod, chmod_directory, become_link, become_fifo, hardlink, attribute]
NO_CHANGES = [touch, elsewhere, chmod_top, rewrite_the_same]


class TestChecksum:
    @pytest.mark.parametrize("change", CHANGES)
    def test_it_changes_with(self, root: Path, change: Callable[[Path], None]) -> None:
        before = checksum(root, "src")
        change(root)
        assert checksum(root, "src") != before

    @pytest.mark.parametrize("change", NO_CHANGES)
    def test_it_stays_with(self, root: Path, change: Callable[[Path], None]) -> None:
        before = checksum(root, "src")
        change(root)
        assert checksum(root, "src") == before

    def test_what_is_remembered_is_never_wrong(self, root: Path) -> None:
        changes = [*NO_CHANGES, *CHANGES]
        roots = [shutil.copytree(root, root.parent / change.__name__, symlinks=True) for change in changes]
        digests = FileDigests(root.parent / "files.db")
        age(root.parent)
        for one, change in zip(roots, changes, strict=True):
            before = checksum(one, "src", digests=digests)
            assert before == checksum(one, "src", digests=digests) == checksum(one, "src")
            change(one)
            assert checksum(one, "src", digests=digests) == checksum(one, "src")
        digests.close()

    def test_what_is_new_is_not_remembered(self, root: Path) -> None:
        digests = FileDigests(root.parent / "files.db")
        asked = FileKey.of((root / "a.txt").stat())
        checksum(root, ".", digests=digests)
        assert not digests.get_many([asked])
        age(root)
        checksum(root, ".", digests=digests)
        assert digests.get_many([asked])
        digests.close()


def age(root: Path) -> None:
    """Wait until nothing in `root` is so new that it is not remembered."""
    newest = max(path.lstat().st_ctime_ns for path in [root, *root.rglob("*")])
    time.sleep(max(0, (newest + 2.05e9 - time.time_ns()) / 1e9))


class TestKeys:
    def test_owners_count_in_a_stage_and_not_in_a_context(self, root: Path) -> None:
        if os.getuid():
            pytest.skip("changing owners needs root")
        context, stage = checksum(root, "src"), checksum(root, "src", owners=True)
        os.chown(root / "src/main.py", 1, 2)
        assert checksum(root, "src") == context and checksum(root, "src", owners=True) != stage

    def test_the_name_of_a_file_counts_but_not_where_it_is(self, root: Path) -> None:
        shutil.copy2(root / "a.txt", root / "docs/a.txt")
        shutil.copy2(root / "a.txt", root / "c.txt")
        assert checksum(root, "a.txt") == checksum(root, "docs/a.txt") != checksum(root, "c.txt")

    def test_the_name_of_a_directory_does_not_count(self, root: Path) -> None:
        shutil.copytree(root / "src", root / "copy")
        assert checksum(root, "src") == checksum(root, "copy")

    def test_ignored_files_do_not_count(self, root: Path) -> None:
        before = checksum(root, ".", ignore=b"docs")
        elsewhere(root)
        assert checksum(root, ".", ignore=b"docs") == before != checksum(root, ".")

    def test_a_socket_counts_as_an_empty_file(self, root: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(root / "src/s"))
        (root / "src/s").chmod(0o644)
        before = checksum(root, "src")
        (root / "src/s").unlink()
        (root / "src/s").touch(0o644)
        assert checksum(root, "src") == before

    def test_large_files_are_hashed_whole(self, root: Path) -> None:
        large = bytearray(3 << 20)
        (root / "src/large").write_bytes(large)
        before = checksum(root, "src")
        large[-1] = 1
        (root / "src/large").write_bytes(large)
        assert checksum(root, "src") != before

    def test_a_file_that_vanishes_meanwhile_is_an_error_with_its_name(self, root: Path) -> None:
        context = Context.local(root)
        sources = context.select(["src"])
        context.entries(sources[0])
        (root / "src/main.py").unlink()
        with pytest.raises(OSError, match=r"src/main\.py"):
            context.checksum(sources)


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in (("Dockerfile", b"FROM a\n"), ("src/x", b"hello")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return out.getvalue()


class Dribble(io.BytesIO):
    """A pipe gives less than was asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 100) if size and size > 0 else size)


class TestStream:
    @pytest.mark.parametrize(
        "packed", [bytes, gzip.compress, bz2.compress, lzma.compress, lambda data: zstandard.compress(data)]
    )
    def test_an_archive_is_unpacked(self, tmp_path: Path, packed: Callable[[bytes], bytes]) -> None:
        assert receive(Dribble(packed(archive())), tmp_path).dockerfile is None
        assert (tmp_path / "Dockerfile").read_text() == "FROM a\n" and (tmp_path / "src/x").read_text() == "hello"

    def test_anything_else_is_the_dockerfile(self, tmp_path: Path) -> None:
        text = b"FROM a\n" + b"RUN x\n" * 500
        assert receive(Dribble(text), tmp_path).dockerfile == text
        assert not list(tmp_path.iterdir())

    def test_nothing_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="empty"):
            receive(io.BytesIO(), tmp_path)

    @pytest.mark.parametrize("data", [bytes(range(256)) * 4, gzip.compress(b"no tar" * 200, mtime=0)])
    def test_neither_is_an_error(self, tmp_path: Path, data: bytes) -> None:
        with pytest.raises(InvalidInput, match="tar archive"):
            receive(io.BytesIO(data), tmp_path)

    def test_an_archive_cannot_leave_the_directory(self, tmp_path: Path) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            member = tarfile.TarInfo("../../escaped")
            tar.addfile(member, io.BytesIO())
        inside = tmp_path / "a/b"
        inside.mkdir(parents=True)
        with contextlib.suppress(InvalidInput):
            receive(io.BytesIO(out.getvalue()), inside)
        assert not list(tmp_path.glob("escaped")) and not (tmp_path / "a/escaped").exists()

    def test_a_tar_is_known_by_its_first_block(self) -> None:
        assert is_tar(archive()[:512]) and is_tar(bytes(512))
        assert not is_tar(archive()[:511]) and not is_tar(b"FROM a\n" * 100)
