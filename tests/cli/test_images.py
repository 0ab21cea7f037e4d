"""The image commands, as scripts that know Docker's read them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from store.holds import Hold
from store.images import Image
from store.store import Store

Cli = Callable[..., tuple[int, str, str]]
Make = Callable[..., Image]


def test_images_shows_dockers_columns(cli: Cli, make: Make) -> None:
    image = make("app:1", created=0)
    code, out, _ = cli("images")
    years = out.split("ago")[0].split()[-2]
    head, row = out.splitlines()
    assert code == 0
    assert head.split("  ") and head == "REPOSITORY   TAG       IMAGE ID       CREATED        SIZE"
    assert row.startswith(f"app          1         {image.id.short}   {years} years ago   2.") and row.endswith("kB")


def test_nameless_images_and_digests_show_as_none(cli: Cli, make: Make, digest: Callable[[str], str]) -> None:
    make()
    make("r.io/app:1", digests=[f"r.io/app@{digest('m')}"])
    make(digests=[f"r.io/bare@{digest('b')}"])
    rows = [line.split()[:3] for line in cli("images", "--digests")[1].splitlines()[1:]]
    assert rows == [
        ["r.io/bare", "<none>", digest("b")], ["r.io/app", "1", digest("m")], ["<none>", "<none>", "<none>"],
    ]  # fmt: skip
    assert [line.split()[:2] for line in cli("image", "ls")[1].splitlines()[1:]] == [row[:2] for row in rows]


def test_quiet_prints_an_id_for_each_name(cli: Cli, make: Make) -> None:
    image = make("app:1", "app:2")
    assert cli("images", "-q").out == f"{image.id.short}\n" * 2
    assert cli("images", "-q", "--no-trunc", "app:2").out == f"{image.id}\n"
    assert cli("image", "list", "-aq", "-f", "dangling=true").out == ""


def test_images_speaks_json_and_templates(cli: Cli, make: Make) -> None:
    image = make("app:1")
    row = json.loads(cli("images", "--format", "json").out)
    assert list(row) == sorted(row) and (row["ID"], row["Repository"], row["Tag"]) == (image.id.short, "app", "1")
    assert {"Containers", "CreatedAt", "CreatedSince", "Digest", "SharedSize", "Size", "UniqueSize"} < set(row)
    assert row["CreatedAt"].endswith("+0000 UTC")
    assert json.loads(cli("images", "--format", "{{json .}}").out) == row
    assert cli("images", "--format", r"{{.Repository}}\t{{.Tag}}").out == "app\t1\n"
    assert cli("images", "--format", r"table {{upper .Repository}}\t{{.ID}}").out == (
        f"REPOSITORY   IMAGE ID\nAPP          {image.id.short}\n"
    )


def test_a_template_that_makes_no_sense_is_explained(cli: Cli, make: Make) -> None:
    make("app")
    code, out, err = cli("images", "--format", "{{.Name}}")
    assert (code, out) == (1, "") and "no such field: Name" in err and "Repository" in err


def test_the_tree_shows_what_each_image_adds(cli: Cli, make: Make) -> None:
    base = make("base")
    make("app:1", "app:2", parent=base)
    make("web", *(f"web:{number}" for number in range(5)), parent=base)
    head, *rows = cli("images", "--tree").out.splitlines()
    assert head.split("  ")[0] == "IMAGE" and head.split()[-3:] == ["LAYERS", "ADDS", "SIZE"]
    assert rows[0].startswith("base:latest   ")
    assert sorted(row[3:].split("  ")[0] for row in rows[1:]) == [
        "app:1, app:2", "web:0, web:1, web:2 and 3 more",
    ]  # fmt: skip
    assert all(row.split()[-3:-1] == ["+1", "2.56kB"] for row in rows)
    (root,) = json.loads(cli("images", "--tree", "--format", "json").out)
    assert root["Images"][0]["Names"] == ["base:latest"] and len(root["Children"]) == 2 and root["Size"] == 2560
    assert cli("images", "--tree", "--format", "{{.ID}}").code == 1


def test_an_image_knows_when_it_was_last_used(cli: Cli, make: Make, store: Store) -> None:
    images = {name: make(name) for name in ("run", "idle")}
    with store.transaction() as connection:
        connection.execute("UPDATE images SET last_used = 0")
    assert cli("images", "--format", "{{.LastUsed}}").out == "never\n" * 2
    cli("create", "--network", "none", "run", "true")
    head, *rows = cli("images", "--last-used").out.splitlines()
    assert head.endswith("SIZE      LAST USED") and rows[1].endswith("ago") and rows[0].endswith("never")
    assert cli("images", "-q", "--filter", "unused-for=1h").out == f"{images['idle'].id.short}\n"


def test_a_listing_longer_than_a_block_is_written_as_it_is_read(cli: Cli, make: Make, store: Store) -> None:
    from cli.output import BLOCK
    from image.reference import Reference

    image = make("short")
    with store.transaction():
        for number in range(BLOCK):
            store.tags.set(Reference.parse(f"x:{number:04d}"), image.id, image.manifest)
        store.tags.set(Reference.parse("y/" + "long" * 9 + ":1"), image.id, image.manifest)
    lines = cli("images").out.splitlines()
    assert len(lines) == BLOCK + 3 and lines[1].startswith("short        latest    ")
    assert lines[-1].startswith("y/" + "long" * 9 + "   1 ")


def test_an_empty_store_has_a_heading_only(cli: Cli) -> None:
    assert cli("images").out == "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"


def test_rmi_goes_on_after_a_failure_and_exits_with_one(cli: Cli, make: Make) -> None:
    image = make("app:1")
    code, out, err = cli("rmi", "nosuch", "app:1")
    assert code == 1 and err.startswith("lamella: no such image: nosuch\n")
    assert out.splitlines()[:2] == ["Untagged: app:1", f"Deleted: {image.id}"]
    assert out.splitlines()[2] == f"Deleted: {image.diff_ids[0]}"


def test_rmi_by_force_does_not_mind_what_is_gone(cli: Cli) -> None:
    code, _, err = cli("rmi", "-f", "nosuch")
    assert code == 0 and "no such image" in err


def test_rmi_names_the_container_that_uses_the_image(cli: Cli, make: Make) -> None:
    make("app")
    container = cli("create", "--name", "web", "--network", "none", "app", "true").out.strip()
    code, _, err = cli("image", "rm", "app")
    assert code == 1 and f"container {container[:12]} is using its referenced image" in err and "lamella rm web" in err
    assert json.loads(cli("inspect", "web").out)[0]["Id"] == container
    assert cli("inspect", "-f", "{{.State.Status}} {{.Image}}", "web", "app").code == 1
    assert cli("rm", "web").code == 0 and cli("rmi", "app").code == 0


def test_a_container_that_is_no_more_is_not_in_the_way(cli: Cli, make: Make, store: Store) -> None:
    """Its process was killed before it could let go: the hold is all that is left."""
    image = make("app")
    store.holds.set(Hold("container", "d" * 64, "ghost", image.id, True))
    assert cli("rmi", "app").code == 0


def test_prune_asks_first(cli: Cli, make: Make, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make()
    for answer in ("", "n\n", "perhaps\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code, out, err = cli("image", "prune")
        assert (code, out) == (0, "") and "WARNING! This will remove all dangling images." in err
    assert store.images.get(image.id)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert f"deleted: {image.id}\n" in cli("image", "prune").out


def test_prune_says_what_went_as_docker_does(cli: Cli, make: Make) -> None:
    image = make("app")
    assert cli("image", "prune", "-f").out == "Total reclaimed space: 0B\n"
    head, row, _, total = cli("image", "prune", "-a", "--dry-run").out.splitlines()
    assert head.split() == ["ACTION", "IMAGE", "IMAGE", "ID", "FREES", "WHY"] and row.endswith("no container uses it")
    assert row.split()[:3] == ["delete", "app:latest", image.id.short] and total.startswith("Total reclaimable space: ")
    preview = json.loads(cli("image", "prune", "-a", "--dry-run", "--format", "json").out)
    assert preview["Images"][0]["Action"] == "delete" and preview["SpaceReclaimable"] == preview["Images"][0]["Bytes"]
    lines = cli("image", "prune", "-a", "-f").out.splitlines()
    assert lines[:3] == ["Deleted Images:", "untagged: app:latest", f"deleted: {image.id}"]
    assert (
        lines[3] == f"deleted: {image.diff_ids[0]}"
        and lines[4] == ""
        and lines[5].startswith("Total reclaimed space: ")
    )
    assert lines[5] != "Total reclaimed space: 0B"


def test_tag_is_silent(cli: Cli, make: Make) -> None:
    make("app")
    assert cli("tag", "app", "localhost:5000/team/app:1.0") == (0, "", "")
    assert cli("images", "-q", "localhost:5000/team/app:1.0").out
    code, _, err = cli("tag", "app", "Bad Name")
    assert code == 1 and len(err.splitlines()) == 2
    assert "invalid reference format: repository name must be lowercase: 'Bad Name'" in err


def test_history_shows_dockers_columns(cli: Cli, make: Make) -> None:
    base = make("base")
    make("app", parent=base)
    head, first, second = cli("history", "app").out.splitlines()
    assert head.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert first.split()[-2:] == ["2", "2.56kB"] and second.startswith(base.id.short)
    assert cli("image", "history", "-q", "--no-trunc", "app").out.splitlines()[1] == base.id
    assert (
        cli("history", "--no-human", "--format", "{{.CreatedAt}} {{.Size}}", "base").out
        == "2026-01-01T00:00:00Z 2560\n"
    )


def test_inspect_prints_an_array_and_names_what_is_missing(cli: Cli, make: Make) -> None:
    image = make("app", labels={"a": "1"})
    code, out, err = cli("inspect", "app", "nosuch")
    assert (code, err) == (1, "Error: No such object: nosuch\n")
    assert [data["Id"] for data in json.loads(out)] == [image.id]
    assert cli("inspect", "nosuch") == (1, "[]\n", "Error: No such object: nosuch\n")
    assert cli("image", "inspect", "-f", "{{.Id}}", "nosuch") == (1, "\n", "Error: No such image: nosuch\n")
    assert (
        cli("inspect", "-f", "{{.Config.Labels.a}} {{.Config.Labels.b}} {{.Config.Cmd}}", "app").out
        == "1 <no value> []\n"
    )
    assert cli("inspect", "--type", "container", "app").code == 1
    assert json.loads(cli("inspect", "--format", "json", "app").out)[0]["RepoTags"] == ["app:latest"]


def test_fsck_exits_with_one_when_something_is_damaged(cli: Cli, make: Make, store: Store) -> None:
    image = make("app")
    assert cli("fsck") == (0, "checked 1 images, 1 layers, 2 blobs: all whole\n", "")
    path = store.blobs.path(image.manifest.digest)
    path.chmod(0o600)
    path.write_bytes(b"{}")
    code, out, _ = cli("fsck")
    assert code == 1 and f"damaged manifest {image.manifest.digest}" in out and "  needed by app:latest" in out
    report = json.loads(cli("fsck", "--format", "json").out)
    assert report["Damaged"][0]["NeededBy"] == ["app:latest"] and report["Leftovers"] == 0
