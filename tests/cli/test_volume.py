"""`lamella volume`: what it says, what scripts read, and what archives may not do."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.mount_spec import mounts
from cli.volume_flags import volumes
from core.errors import InvalidInput
from store.store import Store
from store.volumes import Volume

Cli = Callable[..., Any]


def tar(*entries: tuple[str, bytes | str, dict[str, Any]]) -> bytes:
    """A tar of (name, content or link target, attributes)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, content, fields in entries:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            for key, value in fields.items():
                setattr(entry, key, value)
            if isinstance(content, str):
                entry.type, entry.linkname = fields.get("type", tarfile.SYMTYPE), content
                out.addfile(entry)
            else:
                entry.size = len(content)
                out.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class TestListing:
    def test_names_in_their_natural_order(self, cli: Cli) -> None:
        for name in ("v10", "v2", "db"):
            assert cli("volume", "create", name) == (0, f"{name}\n", "")
        assert cli("volume", "ls").out == "DRIVER    VOLUME NAME\nlocal     db\nlocal     v2\nlocal     v10\n"
        assert cli("volume", "ls", "-q").out == "db\nv2\nv10\n"

    def test_json_has_dockers_fields(self, cli: Cli, store: Store) -> None:
        cli("volume", "create", "--label", "a=b", "data")
        assert json.loads(cli("volume", "ls", "--format", "json").out) == {
            "Availability": "N/A", "Driver": "local", "Group": "N/A", "Labels": "a=b", "Links": "N/A",
            "Mountpoint": str(store.root / "volumes/data/_data"), "Name": "data", "Scope": "local", "Size": "N/A", "Status": "N/A",
        }  # fmt: skip

    def test_inspect_has_dockers_shape(self, cli: Cli, store: Store) -> None:
        cli("volume", "create", "data")
        (described,) = json.loads(cli("volume", "inspect", "data").out)
        assert list(described) == ["CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"]
        assert json.loads(cli("inspect", "--type", "volume", "data").out) == [described]
        assert cli("inspect", "-f", "{{.Name}}", "data").out == "data\n"
        assert cli("volume", "inspect", "nosuch") == (1, "[]\n", "Error: No such volume: nosuch\n")


class TestPrune:
    def test_named_ones_only_where_that_is_asked_for(self, cli: Cli) -> None:
        anonymous = cli("volume", "create").out.strip()
        cli("volume", "create", "named")
        cli("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "special")
        assert cli("volume", "prune", "-f").out.startswith(f"Deleted Volumes:\n{anonymous}\n\n")
        assert cli("volume", "ls", "-q").out == "named\nspecial\n"
        assert cli("volume", "prune", "-f", "--filter", "all=true").out.startswith("Deleted Volumes:\nnamed\n\n")
        assert cli("volume", "ls", "-q").out == "special\n"
        assert "conflicting options" in cli("volume", "prune", "-af", "--filter", "all=1").err

    def test_labels_choose(self, cli: Cli) -> None:
        for name, label in (("one", "keep=yes"), ("two", "tier=front"), ("three", "tier=back")):
            cli("volume", "create", "--label", label, name)
        assert "two" in cli("volume", "prune", "-af", "--filter", "label=tier=front").out
        assert "three" in cli("volume", "prune", "-af", "--filter", "label!=keep").out
        assert cli("volume", "ls", "-q").out == "one\n"

    def test_it_asks_first(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        said = cli("volume", "prune")
        assert (said.code, said.out) == (0, "")
        assert said.err.startswith(
            "WARNING! This will remove anonymous local volumes not used by at least one container."
        )


class TestDiskUse:
    def test_df_counts_what_du_counts(self, cli: Cli, store: Store) -> None:
        cli("volume", "create", "data")
        (store.volumes.path("data") / "file").write_bytes(b"x" * 1_000_000)
        rows = {row["Type"]: row for row in map(json.loads, cli("system", "df", "--format", "json").out.splitlines())}
        volumes_row = rows["Local Volumes"]
        assert (volumes_row["TotalCount"], volumes_row["Active"]) == ("1", "0") and int(
            volumes_row["Bytes"]
        ) > 1_000_000
        assert volumes_row["Reclaimable"].endswith("(100%)")
        used = sum(int(row["Bytes"]) for row in rows.values())
        assert used == int(subprocess.check_output(["du", "-s", "--block-size=1", store.root]).split()[0])
        verbose = json.loads(cli("system", "df", "-v", "--format", "json").out)
        assert [(row["Name"], row["Links"]) for row in verbose["Volumes"]] == [("data", "0")]


class TestFsck:
    def test_a_volume_without_directory_and_a_directory_without_volume(self, cli: Cli, store: Store) -> None:
        cli("volume", "create", "lost")
        store.volumes.path("lost").rmdir()
        (store.root / "volumes/found/_data").mkdir(parents=True)
        (store.root / "volumes/found/_data/file").write_text("precious")
        code, out, _ = cli("fsck")
        assert code == 1
        assert (
            "damaged volume lost: its directory is gone" in out and "damaged volume found: its directory is here" in out
        )
        code, out, _ = cli("fsck", "--repair")
        assert code == 0 and "repaired volume lost" in out and "repaired volume found" in out
        assert cli("volume", "ls", "-q").out == "found\nlost\n"
        assert (store.volumes.path("found") / "file").read_text() == "precious"
        assert cli("fsck", "-q") == (0, "", "")


class TestTar:
    def test_there_and_back(self, cli: Cli, store: Store, tmp_path: Path) -> None:
        store.volumes.add(Volume("data"))
        top = store.volumes.path("data")
        (top / "d").mkdir(mode=0o700)
        (top / "d/file").write_bytes(b"x" * 100_000)
        os.chown(top / "d/file", 7, 8)
        os.chmod(top / "d/file", 0o4755)
        os.setxattr(top / "d/file", "user.a", b"b")
        (top / ".wh.kept").write_text("an ordinary name here")
        (top / "link").symlink_to("/etc/passwd")
        (top / ".wh.kept").unlink()  # the layer's packer refuses it
        archive = tmp_path / "data.tar"
        assert cli("volume", "export", "-o", archive, "data").code == 0
        assert cli("volume", "import", "copy", archive) == (0, "copy\n", "")
        copy = store.volumes.path("copy")
        status = (copy / "d/file").stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777, status.st_size) == (7, 8, 0o4755, 100_000)
        assert os.getxattr(copy / "d/file", "user.a") == b"b" and os.readlink(copy / "link") == "/etc/passwd"
        assert (copy / "d").stat().st_mode & 0o7777 == 0o700

    def test_names_that_mark_deletions_in_layers_are_names_here(self, cli: Cli, store: Store, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar((".wh.file", b"1", {}), ("d/.wh..wh..opq", b"2", {})))
        assert cli("volume", "import", "data", tmp_path / "a.tar").code == 0
        assert (store.volumes.path("data") / ".wh.file").read_bytes() == b"1"

    def test_compressed_ones_too(self, cli: Cli, store: Store, tmp_path: Path) -> None:
        import gzip

        (tmp_path / "a.tgz").write_bytes(gzip.compress(tar(("file", b"1", {}))))
        assert cli("volume", "import", "data", tmp_path / "a.tgz").code == 0
        assert (store.volumes.path("data") / "file").read_bytes() == b"1"

    def test_what_is_there_stays_unless_it_is_replaced(self, cli: Cli, store: Store, tmp_path: Path) -> None:
        store.volumes.add(Volume("data"))
        (store.volumes.path("data") / "old").write_text("old")
        (tmp_path / "a.tar").write_bytes(tar(("new", b"1", {})))
        said = cli("volume", "import", "data", tmp_path / "a.tar")
        assert said.code == 1 and "volume data is not empty" in said.err
        assert cli("volume", "import", "--replace", "data", tmp_path / "a.tar").code == 0
        assert os.listdir(store.volumes.path("data")) == ["new"]

    HOSTILE = {
        "climbs": tar(("../../../escaped", b"x", {})),
        "climbs by a link": tar(("link", "../../..", {}), ("link/escaped", b"x", {})),
        "absolute link": tar(("link", "/tmp", {}), ("link/lamella-escaped", b"x", {})),
        "hard link out": tar(("link", "../../../../etc/passwd", {"type": tarfile.LNKTYPE})),
        "cut off": tar(("a", b"x" * 5000, {}))[:3000],
        "no tar": b"this is no archive" * 100,
    }

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_archives_write_nothing_outside(self, cli: Cli, store: Store, tmp_path: Path, name: str) -> None:
        store.volumes.add(Volume("data"))
        (store.volumes.path("data") / "old").write_text("old")
        (tmp_path / "a.tar").write_bytes(self.HOSTILE[name])
        cli("ps")  # the store finds out what works here
        before = {str(path) for path in tmp_path.rglob("*")}
        code = cli("volume", "import", "--replace", "data", tmp_path / "a.tar").code
        after = {str(path) for path in tmp_path.rglob("*")} - before
        inside = str(store.volumes.home("data"))
        assert all(path.startswith(inside) or "/locks" in path for path in after), after
        assert not Path("/tmp/lamella-escaped").exists()
        if code:
            assert (store.volumes.path("data") / "old").read_text() == "old"
        assert not any((store.volumes.home("data") / left).exists() for left in ("copying", "copied", "replacing"))

    def test_a_volume_that_was_made_for_a_bad_archive_is_gone(self, cli: Cli, store: Store, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(self.HOSTILE["cut off"])
        assert cli("volume", "import", "fresh", tmp_path / "a.tar").code == 1
        assert cli("volume", "ls", "-q").out == "" and not store.volumes.home("fresh").exists()


class TestFlags:
    @pytest.mark.parametrize(
        ("flag", "kind", "read_only", "copy", "mode"),
        [
            ("data:/d", "volume", False, True, "z"), ("data:/d:ro", "volume", True, True, "ro"),
            ("data:/d:rw,nocopy,Z", "volume", False, False, "rw,nocopy,Z"), ("/usr:/d:ro,z,cached", "bind", True, True, "ro,z,cached"),
            ("/usr:/d:rslave", "bind", False, True, "rslave"), ("/usr:/d:delegated", "bind", False, True, "delegated"),
        ],
    )  # fmt: skip
    def test_v_has_one_word_of_each_kind(self, flag: str, kind: str, read_only: bool, copy: bool, mode: str) -> None:
        (mount,), _ = volumes([flag], "/")
        assert (mount.kind, mount.read_only, mount.copy, mount.mode, mount.target) == (
            kind,
            read_only,
            copy,
            mode,
            "/d",
        )

    @pytest.mark.parametrize(
        "flag", ["", ":/d", "data:", "data::ro", "a:/b:ro:x", "/d:ro", "data:/d:ro,rw", "data:/d:z,Z", "data:/d:ro,ro",
                 "/usr:/d:nocopy", "data:/d:rslave", "data:/", "data:d", "data:/d:", "/usr:/d:rshared", "data:/d/.."]
    )  # fmt: skip
    def test_v_refuses_what_makes_no_sense(self, flag: str) -> None:
        with pytest.raises(InvalidInput):
            volumes([flag], "/")

    def test_fields_of_mount_are_quoted_as_csv(self) -> None:
        (mount,), _ = mounts(['type=volume,"source=a,b",target=/d'], "/")
        assert mount.name == "a,b"
        (mount,), (wish,) = mounts(['source=data,dst=/d,"volume-opt=o=size=1m,mode=700","volume-label=a=""x"""'], "/")
        assert wish.options == {"o": "size=1m,mode=700"} and wish.labels == {"a": '"x"'}

    @pytest.mark.parametrize(
        ("flag", "text"),
        [
            ('source=data,"target=/d', "parse error"), ("type=,target=/d", "type is required"),
            ("source=data,target=/d,bind-recursive=sometimes", "invalid value for bind-recursive: sometimes"),
            ("type=bind,source=/usr,target=/d,bind-recursive=readonly", "requires 'readonly' to be specified"),
            ("type=bind,source=/usr,target=/d,readonly,bind-propagation=rslave,bind-recursive=readonly", "requires 'bind-propagation=rprivate'"),
            ("type=bind,source=/usr,target=/d,bind-propagation=odd", "invalid propagation mode: odd"),
            ("type=bind,source=/usr,target=/d,bind-propagation=rshared", "never seen outside"),
            ("type=image,target=/d", "field Source must not be empty"), ("type=tmpfs,target=/d,tmpfs-size=big", "invalid value for tmpfs-size: big"),
            ("type=image,source=x,target=/d,volume-subpath=y", "cannot mix 'volume-*' options with mount type 'image'"),
        ],
    )  # fmt: skip
    def test_mount_refuses_what_makes_no_sense(self, flag: str, text: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            mounts([flag], "/")
        assert text in raised.value.message


def test_names_are_completed(cli: Cli, store: Store) -> None:
    import click

    from cli.completion import complete_volumes
    from cli.main import lamella

    for name in ("web-data", "web-logs", "db"):
        store.volumes.add(Volume(name))
    context = click.Context(lamella, info_name="lamella")
    context.params = {"root": str(store.root)}
    assert complete_volumes(context, click.Argument(["names"]), "web") == ["web-data", "web-logs"]


def test_what_happens_to_volumes_is_noted(cli: Cli, store: Store) -> None:
    from store.events import read

    cli("volume", "create", "data")
    cli("volume", "rm", "data")
    assert [(event.kind, event.action, event.id) for event in read(store.root)] == [
        ("volume", "create", "data"), ("volume", "destroy", "data"),
    ]  # fmt: skip
