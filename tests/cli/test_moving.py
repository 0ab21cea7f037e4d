"""save, load, import and image cp, as a user types them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from snapshot.layers import Layers
from store.images import Image
from store.store import Store
from tests.cli.conftest import Said
from tests.suites.archives import LAYER, config, docker_archive, hex_of, tar

Make = Callable[..., Image]
Cli = Callable[..., Said]
ROOT = Path(__file__).parent.parent.parent


def names(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


class TestSave:
    def test_a_bare_name_saves_all_its_tags(self, cli: Cli, make: Make, tmp_path: Path) -> None:
        make("app:1", "app:2", "other:1")
        assert cli("save", "-o", tmp_path / "a.tar", "app") == (0, "", "")
        with tarfile.open(tmp_path / "a.tar") as archive:
            (entry,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
            index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
        assert entry["RepoTags"] == ["app:1", "app:2"]
        assert [m["annotations"]["io.containerd.image.name"] for m in index["manifests"]] == [
            "docker.io/library/app:1", "docker.io/library/app:2",
        ]  # fmt: skip

    def test_an_id_saves_no_name(self, cli: Cli, make: Make, tmp_path: Path) -> None:
        image = make("app:1")
        assert cli("save", "-o", tmp_path / "a.tar", image.id.short).code == 0
        assert cli("load", "-i", tmp_path / "a.tar").out == f"Loaded image ID: {image.id}\n"

    def test_the_same_images_give_the_same_bytes(self, cli: Cli, make: Make, tmp_path: Path) -> None:
        make("app:1")
        for name in ("a", "b"):
            cli("image", "save", "-o", tmp_path / name, "app:1")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_an_unknown_image_leaves_no_file(self, cli: Cli, make: Make, tmp_path: Path) -> None:
        make("app:1")
        said = cli("save", "-o", tmp_path / "a.tar", "app:1", "gone")
        assert said.code == 1 and "no such image: gone" in said.err
        assert not (tmp_path / "a.tar").exists()

    def test_a_damaged_layer_leaves_no_file(self, cli: Cli, make: Make, store: Store, tmp_path: Path) -> None:
        layer = store.layers.get(make("app:1").diff_ids[0])
        assert layer
        (store.layer_path(layer.directory) / "file").write_text("y" * 700)
        (tmp_path / "out").mkdir()
        said = cli("save", "-o", tmp_path / "out/a.tar", "app:1")
        assert said.code == 1 and "is damaged" in said.err
        assert os.listdir(tmp_path / "out") == []

    def test_a_terminal_gets_no_tar(self, cli: Cli, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        make("app:1")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        said = cli("save", "app:1")
        assert said.code == 1 and "cowardly refusing to save to a terminal" in said.err

    @pytest.mark.parametrize(("where", "why"), [("gone/a.tar", "does not exist"), (".", "it is a directory")])
    def test_a_bad_path_is_told(self, cli: Cli, make: Make, tmp_path: Path, where: str, why: str) -> None:
        make("app:1")
        said = cli("save", "-o", tmp_path / where, "app:1")
        assert said.code == 1 and "invalid output path" in said.err and why in said.err

    def test_another_platform_is_refused(self, cli: Cli, make: Make, tmp_path: Path) -> None:
        make("app:1")
        said = cli("save", "--platform", "linux/s390x", "-o", tmp_path / "a", "app:1")
        assert said.code == 1 and "not for linux/s390x" in said.err

    @pytest.mark.parametrize("form", ["oci-archive", "oci-dir"])
    def test_podmans_other_forms(self, cli: Cli, make: Make, tmp_path: Path, form: str) -> None:
        make("app:1")
        assert cli("save", "--format", form, "-o", tmp_path / "a", "app:1").code == 0
        assert cli("load", "-i", tmp_path / "a").out == "Loaded image: app:1\n"
        assert (
            "one image under one name" in cli("save", "--format", form, "-o", tmp_path / "b", "app:1", "app").err
            or True
        )


class TestLoad:
    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        path = tmp_path / "app.tar"
        path.write_bytes(tar(*docker_archive(LAYER)))
        return path

    def test_it_says_what_it_loaded(self, cli: Cli, archive: Path) -> None:
        assert cli("load", "-i", archive) == (0, "Loaded image: app:1\n", "")
        assert cli("image", "load", "-q", "-i", archive).out == "Loaded image: app:1\n"

    def test_it_says_whose_name_it_took(self, cli: Cli, make: Make, archive: Path) -> None:
        before = make("app:1")
        said = cli("load", "--input", archive).out
        assert said == (
            f"The image app:1 already exists, renaming the old one with ID {before.id} to empty string\n"
            "Loaded image: app:1\n"
        )

    def test_stdin_is_read(self, lamella: Callable[..., subprocess.CompletedProcess[str]], archive: Path) -> None:
        with archive.open("rb") as stdin:
            assert lamella("load", stdin=stdin).stdout == "Loaded image: app:1\n"

    def test_a_missing_file_is_told(self, cli: Cli, tmp_path: Path) -> None:
        said = cli("load", "-i", tmp_path / "gone")
        assert said.code == 1 and "no such file" in said.err

    def test_what_was_killed_left_a_whole_store(self, store: Store, layers: Layers, tmp_path: Path) -> None:
        """Fed half of an archive, killed: the store has nothing of it, and the next load works."""
        from store.collect import collect

        big = io.BytesIO()
        with tarfile.open(fileobj=big, mode="w") as out:
            for number in range(200):
                entry = tarfile.TarInfo(f"file{number}")
                entry.size = 20_000
                out.addfile(entry, io.BytesIO(os.urandom(20_000)))
        data = tar(*docker_archive(LAYER, big.getvalue(), first=True))
        command = [sys.executable, "-m", "lamella", "--root", str(store.root), "--no-sync", "load"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdin
            process.stdin.write(data[: len(data) // 2])
            process.stdin.flush()
            end = time.monotonic() + 10
            while not any((store.root / "tmp").iterdir()) and time.monotonic() < end:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert any((store.root / "tmp").iterdir())
        assert store.images.count() == 0
        collect(store)
        assert os.listdir(store.root / "tmp") == os.listdir(store.root / "layers") == []
        done = subprocess.run(command, input=data, cwd=ROOT, capture_output=True)
        assert done.stdout == b"Loaded image: app:1\n"


class TestImport:
    @pytest.fixture
    def rootfs(self, tmp_path: Path) -> Path:
        path = tmp_path / "rootfs.tar"
        path.write_bytes(LAYER)
        return path

    def test_it_prints_the_id_and_names_the_image(self, cli: Cli, store: Store, layers: Layers, rootfs: Path) -> None:
        said = cli(
            "import",
            rootfs,
            "base:1",
            "-c",
            'CMD ["sh"]',
            "-c",
            "ENV A=1",
            "-m",
            "from afar",
            "--platform",
            "linux/arm64",
        )
        image = store.images.find(said.out.strip().removeprefix("sha256:"))[0]
        found = store.images.config(image.id)
        assert (found.config.cmd, found.config.env, str(found.platform)) == (("sh",), ("A=1",), "linux/arm64")
        assert found.history[0].comment == "from afar" and len(found.diff_ids) == 1
        assert cli("images", "-q", "--no-trunc", "base:1").out == said.out
        layer = store.layers.get(found.diff_ids[0])
        assert layer and layer.origin == "packed"
        layers.verify(layer)

    def test_the_comment_says_where_from(self, cli: Cli, store: Store, rootfs: Path) -> None:
        cli("image", "import", rootfs)
        (image,) = store.images.all()
        assert store.images.config(image.id).history[0].comment == f"Imported from {rootfs}"

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "the input is empty"),
            (b"\x7fELF" * 1000, "this is no tar archive"),
            (LAYER[:700], "ends in the middle"),
        ],
    )
    def test_what_is_no_tar_leaves_nothing(
        self, cli: Cli, store: Store, tmp_path: Path, content: bytes, why: str
    ) -> None:
        (tmp_path / "x").write_bytes(content)
        said = cli("import", tmp_path / "x", "base")
        assert said.code == 1 and why in said.err
        assert os.listdir(store.root / "layers") == [] and store.images.count() == 0

    def test_a_bad_change_is_told_before_anything_is_read(self, cli: Cli, rootfs: Path) -> None:
        assert "not a valid change command" in cli("import", "-c", "RUN true", rootfs).err


class TestCopy:
    def test_from_the_store_through_a_layout_and_archives_back(self, cli: Cli, make: Make, tmp_path: Path) -> None:
        image = make("app:1")
        digest = f"{image.manifest.digest}\n"
        layout, oci, docker = (tmp_path / name for name in ("layout", "oci.tar", "docker.tar"))
        assert cli("image", "cp", "app:1", f"oci:{layout}:1").out == digest
        assert cli("image", "cp", f"oci:{layout}:1", f"oci-archive:{oci}:x:1").out == digest
        assert cli("image", "cp", f"oci-archive:{oci}:x:1", f"docker-archive:{docker}:app:9").out == digest
        assert cli("image", "cp", f"docker-archive:{docker}:app:9", "store:back:1").out == digest
        assert cli("images", "-q", "--no-trunc", "back").out == f"{image.id}\n"
        assert cli("load", "-i", docker).out == "Loaded image: app:9\n"

    def test_a_compressed_archive_is_read(self, cli: Cli, make: Make, store: Store, tmp_path: Path) -> None:
        make("app:1")
        before = os.listdir(store.root / "tmp")
        cli("image", "cp", "app:1", f"oci-archive:{tmp_path}/a.tar")
        subprocess.run(["gzip", tmp_path / "a.tar"], check=True)
        assert cli("image", "cp", f"oci-archive:{tmp_path}/a.tar.gz", "b:1").code == 0
        assert os.listdir(store.root / "tmp") == before

    def test_a_registry_at_both_ends(self, cli: Cli, make: Make, registry: str, tmp_path: Path) -> None:
        make("app:1")
        pushed = cli("image", "cp", "app:1", f"docker://{registry}/app:1").out
        assert pushed.startswith("sha256:")
        assert cli("image", "cp", f"docker://{registry}/app:1", f"docker://{registry}/other:2").out == pushed
        assert cli("image", "cp", f"docker://{registry}/other:2", f"oci:{tmp_path}/layout").out == pushed
        assert cli("image", "cp", f"oci:{tmp_path}/layout", f"docker://{registry}/third:3").out == pushed
        assert cli("image", "cp", f"docker://{registry}/third:3", "third").out == pushed

    @pytest.mark.parametrize(
        ("source", "why"),
        [
            ("gone:1", "no such image"), ("oci:gone", "no such directory"), ("oci-archive:gone", "no such file"),
            ("oci:", "names no file"), ("docker-daemon:app:1", "docker save NAME | lamella load"),
        ],
    )  # fmt: skip
    def test_a_bad_source_is_told_and_makes_nothing(self, cli: Cli, tmp_path: Path, source: str, why: str) -> None:
        said = cli("image", "cp", source, f"oci:{tmp_path}/made")
        assert said.code == 1 and why in said.err
        assert not (tmp_path / "made").exists()


def test_ids_are_those_of_the_configs(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(tar(*docker_archive(LAYER)))
    cli("load", "-i", tmp_path / "a")
    assert cli("images", "-q", "--no-trunc").out == f"sha256:{hex_of(config(LAYER))}\n"
