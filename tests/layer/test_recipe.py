"""A recipe and the directory that was unpacked beside it are the very tar, whatever the tar did to its own files."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from image.digest import DiffID
from layer.apply import apply_layer
from layer.pack import outline, pack
from layer.recipe import BadRecipe, Lost, Recorder, remake

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

LARGE = os.urandom(3 << 20)


def recorded(tar: bytes, home: Path) -> tuple[bytes, Recorder]:
    """The recipe of `tar`, which is unpacked to `diff` in the new directory `home`."""
    (home / "diff").mkdir(parents=True)
    pieces: list[bytes] = []
    with closing(Recorder(home)) as recorder:
        applied = apply_layer(io.BytesIO(tar), home / "diff", recorder=recorder)
        assert (applied.diff_id, applied.size) == (DiffID.of(tar), len(tar))
        recorder.write(lambda data: pieces.append(bytes(data)))
    return b"".join(pieces), recorder


def remade(recipe: bytes, directory: Path) -> bytes:
    pieces: list[bytes] = []
    remake(io.BytesIO(recipe), directory, lambda data: pieces.append(bytes(data)))
    return b"".join(pieces)


def made(*entries: tuple[str, bytes | str | None], format: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar: content for a file, None for a directory, "=name" for a hard link, any other string for a symbolic one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, what in entries:
            info = tarfile.TarInfo(name)
            if what is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(what, str):
                info.type, info.linkname = (tarfile.LNKTYPE if what[0] == "=" else tarfile.SYMTYPE), what.lstrip("=")
            else:
                info.size = len(what)
            tar.addfile(info, io.BytesIO(what) if isinstance(what, bytes) else None)
    return out.getvalue()


CASES = {
    "nothing": made(),
    "a large file": made(("a", None), ("a/large", LARGE), ("b", b"small")),
    "many small files": made(*((f"d/{n}", os.urandom(n)) for n in range(3000))),
    "a file twice": made(("f", b"first"), ("f", b"second, longer"), ("g", b"x")),
    "a large file thrice": made(("f", LARGE), ("f", LARGE[::-1]), ("f", LARGE[:1000])),
    "a directory that becomes a file": made(("d", None), ("d/e/f", b"below"), ("d/g", LARGE), ("d", b"file")),
    "a directory that goes and comes": made(
        ("d/f", b"one"),
        ("d", b"two"),
        ("d", None),
        ("d/f", b"three"),
        ("d", "elsewhere"),
        ("elsewhere", None),
        ("d/f", b"four"),
    ),
    "a file that becomes a link to another": made(("a", b"one"), ("b", b"two"), ("a", "=b"), ("b", b"three")),
    "names below a link": made(("real", None), ("link", "real"), ("link/f", b"content"), ("link", b"file now")),
    "whiteouts with content": made(("d/.wh.f", b"odd"), ("d/.wh..wh.aufs", b"more"), ("f", b"x")),
    "what follows the end": made(("f", b"x")) + bytes(512) + os.urandom(3 << 20),
    "pax": made(("n" * 150 + "/" + "n" * 150, b"long"), ("ü", LARGE[:70_000]), format=tarfile.PAX_FORMAT),
    "bytes as names": made(("\udcff\n", b"x"), ("\udcff\n", b"y")),
}


@pytest.mark.parametrize("case", CASES)
def test_recipe_and_directory_are_the_tar(tmp_path: Path, case: str) -> None:
    recipe, _ = recorded(CASES[case], tmp_path / "home")
    assert remade(recipe, tmp_path / "home/diff") == CASES[case]


def test_contents_are_not_in_the_recipe(tmp_path: Path) -> None:
    recipe, _ = recorded(CASES["a large file"], tmp_path / "home")
    assert len(recipe) < 16_000 and LARGE[:100] not in recipe


def test_what_our_packer_wrote_has_the_outline_of_its_directory(tmp_path: Path) -> None:
    _, _ = recorded(CASES["many small files"], tmp_path / "first")
    pieces: list[bytes] = []
    pack(tmp_path / "first/diff", lambda data: pieces.append(bytes(data)))
    _, recorder = recorded(b"".join(pieces), tmp_path / "second")
    assert recorder.outline() == outline(tmp_path / "second/diff")


@pytest.mark.parametrize("case", [case for case in CASES if case != "nothing"])
def test_no_other_tar_has_it(tmp_path: Path, case: str) -> None:
    _, recorder = recorded(CASES[case], tmp_path / "home")
    assert recorder.outline() != outline(tmp_path / "home/diff")


def test_one_byte_that_differs_gives_another_outline(tmp_path: Path) -> None:
    _, _ = recorded(made(("a", b"1"), ("b", LARGE)), tmp_path / "first")
    pieces: list[bytes] = []
    pack(tmp_path / "first/diff", lambda data: pieces.append(bytes(data)))
    tar = bytearray(b"".join(pieces))
    tar[512 + 100] = 1  # after the first content, where no reader looks
    _, recorder = recorded(bytes(tar), tmp_path / "second")
    assert recorder.outline() != outline(tmp_path / "second/diff")


@pytest.mark.parametrize("damage", ["short", "gone", "no file"])
def test_a_file_that_is_not_whole_is_told(tmp_path: Path, damage: str) -> None:
    recipe, _ = recorded(CASES["a large file"], tmp_path / "home")
    file = tmp_path / "home/diff/a/large"
    if damage == "short":
        os.truncate(file, 5)
    else:
        file.unlink()
    if damage == "no file":
        os.mkfifo(file)
    with pytest.raises(Lost if damage != "gone" else FileNotFoundError, match="a/large"):
        remade(recipe, tmp_path / "home/diff")


@pytest.mark.parametrize(
    "recipe", [b"", b"lamella recipe 2\n", b"L", b"X", b"L\xff\xff\xff\xff", b"F" + b"\xff" * 10, b"L\0\0\0\0"]
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, recipe: bytes) -> None:
    head = b"" if recipe[:7] == b"lamella" or not recipe else b"lamella recipe 1\n"
    with pytest.raises(BadRecipe):
        remade(head + recipe, tmp_path)


def test_a_recipe_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    recipe, _ = recorded(made(("a", b"1" * 600)), tmp_path / "home")
    for size in range(18, len(recipe), 97):
        try:
            assert remade(recipe[:size], tmp_path / "home/diff") != made(("a", b"1" * 600))
        except BadRecipe:
            continue
