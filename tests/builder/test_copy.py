"""COPY, ADD and WORKDIR, seen by a RUN that looks at what they made."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.conftest import needs

pytestmark = needs("crun")
LOOK = "RUN find {} | sort | while read f; do stat -c '%n %a %u:%g' $f; done\n"


def look(path: str) -> str:
    return LOOK.format(path)


def test_a_files_destination_is_a_file_unless_it_ends_with_a_slash_or_is_a_directory(build):
    text = "FROM bb\nCOPY f /new\nCOPY f /dir/\nCOPY f /tmp\nCOPY f sub/\nRUN ls -d /new /dir/f /tmp/f /sub/f\n"
    assert build(text, files={"f": "x"}).printed() == ["/dir/f", "/new", "/sub/f", "/tmp/f"]


def test_a_directorys_contents_are_copied_not_the_directory(build):
    done = build("FROM bb\nCOPY d /e\n" + look("/e"), files={"d/a": "1", "d/b/c": "2"})
    assert done.printed() == ["/e 755 0:0", "/e/a 644 0:0", "/e/b 755 0:0", "/e/b/c 644 0:0"]


def test_several_sources_need_a_directory(build):
    done = build("FROM bb\nCOPY a b /c\n", files={"a": "1", "b": "2"}, check=False)
    assert done.code == 1 and "Dockerfile:2" in done.said and "several sources need a directory" in done.said
    assert build("FROM bb\nCOPY a b /c/\nRUN cat /c/a /c/b\n", files={"a": "1\n", "b": "2\n"}).printed() == ["1", "2"]


def test_a_missing_source_is_an_error_with_its_line(build):
    done = build("FROM bb\nCOPY nope /x\n", check=False)
    assert done.code == 1 and "Dockerfile:2: nope: not found" in done.said and ">>> COPY nope /x" in done.said


def test_owners_and_modes_can_be_given(build):
    text = "FROM bb\nCOPY --chown=web:staff --chmod=0640 d /a\nCOPY --chown=7 f /b/c/\nCOPY --chmod=u+x,go= f /d\n"
    done = build(text + look("/a") + look("/b") + look("/d"), files={"d/x": "", "f": ""})
    assert done.printed() == [
        "/a 640 1000:50", "/a/x 640 1000:50", "/b 755 7:7", "/b/c 755 7:7", "/b/c/f 644 7:7", "/d 700 0:0",
    ]  # fmt: skip


def test_an_unknown_owner_is_an_error(build):
    done = build("FROM bb\nCOPY --chown=nobody-knows f /f\n", files={"f": ""}, check=False)
    assert done.code == 1 and "nobody-knows" in done.said and "Dockerfile:2" in done.said


def test_a_directory_that_is_there_keeps_what_it_has(build):
    text = "FROM bb\nRUN mkdir -m 700 /d && chown 5:6 /d && touch -d @1000 /d\nCOPY d /d\nRUN stat -c '%a %u:%g %Y' /d; ls /d\n"
    assert build(text, files={"d/a": ""}).printed() == ["700 5:6 1000", "a"]


def test_nested_directories_take_the_sources_mode_even_when_they_exist(build, context):
    (context / "d/n").mkdir(parents=True)
    (context / "d/n").chmod(0o711)
    assert build("FROM bb\nRUN mkdir -p /d/n\nCOPY d /d\nRUN stat -c %a /d/n\n").printed() == ["711"]


def test_times_links_hard_links_and_attributes_are_kept(build, context):
    (context / "d").mkdir()
    (context / "d/a").write_text("same")
    os.link(context / "d/a", context / "d/b")
    (context / "d/l").symlink_to("a")
    os.utime(context / "d/a", (5, 12345))
    os.setxattr(context / "d/a", "user.note", b"hi")
    (context / "d/s").write_text("")
    (context / "d/s").chmod(0o4755)
    text = "FROM bb\nCOPY d /d\nRUN stat -c '%h %Y' /d/a /d/b; readlink /d/l; stat -c %a /d/s\n"
    done = build(text)
    assert done.printed() == ["2 12345", "2 12345", "a", "4755"]


def test_xattrs_survive_into_the_layer(build, context, store_root):
    (context / "f").write_text("x")
    os.setxattr(context / "f", "user.note", b"hi")
    build("FROM scratch\nCOPY f /f\n")
    assert [os.getxattr(f, "user.note") for f in store_root.glob("layers/*/f")] == [b"hi"]


def test_links_in_the_destination_are_followed_inside_the_root(build, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    text = (
        f"FROM bb\nRUN ln -s {outside} /abs && ln -s ../../../../tmp /rel && ln -s /made /dangling\n"
        f"COPY f /abs/\nCOPY f /rel/\nCOPY f /dangling\nRUN cat {outside}/f /tmp/f /made\n"
    )
    assert build(text, files={"f": "x\n"}).printed() == ["x", "x", "x"]
    assert not os.listdir(outside)


def test_a_link_that_was_named_is_followed_inside_the_context_only(build, context):
    (context / "up").symlink_to("../../../../../../etc/hostname")
    (context / "ok").symlink_to("f")
    done = build("FROM bb\nCOPY ok /ok\nRUN cat /ok\n", files={"f": "content\n"})
    assert done.printed() == ["content"]
    assert build("FROM bb\nCOPY up /up\n", check=False).code == 1


def test_a_file_replaces_a_file_or_link_but_never_a_directory(build):
    text = "FROM bb\nRUN mkdir /d /e && echo old >/e/f && ln -s nowhere /e/g\nCOPY n /e\nRUN cat /e/f /e/g\n"
    assert build(text, files={"n/f": "new\n", "n/g": "file\n"}).printed() == ["new", "file"]
    done = build("FROM bb\nRUN mkdir -p /e/f\nCOPY n /e\n", check=False)
    assert done.code == 1 and "over a directory" in done.said
    done = build("FROM bb\nRUN mkdir /e; echo >/e/x\nCOPY m /e\n", files={"m/x/y": ""}, check=False)
    assert done.code == 1 and "over a file" in done.said


def test_owners_are_kept_from_another_stage_and_zeroed_from_the_context(build, context):
    (context / "f").write_text("")
    os.chown(context / "f", 12, 13)
    text = (
        "FROM bb AS a\nRUN touch /x && chown 8:9 /x\nFROM bb\nCOPY f /f\nCOPY --from=a /x /x\nRUN stat -c %u:%g /f /x\n"
    )
    assert build(text).printed() == ["0:0", "8:9"]


def test_the_rules_beside_the_dockerfile_are_named_as_they_are(build, context):
    (context / "Dockerfile.dockerignore").write_text("# why\n\n*.txt\n!b.txt\ndir/**\n")
    (context / ".dockerignore").write_text("b.txt\n")
    files = {"a.txt": "", "b.txt": "b\n", "dir/sub/c": ""}
    assert build("FROM bb\nCOPY b.txt /\nRUN cat b.txt\n", files=files).printed() == ["b"]
    for name, line, rule in (("a.txt", 3, "*.txt"), ("dir/sub/c", 5, "dir/**")):
        done = build(f"FROM bb\nCOPY {name} /\n", check=False)
        assert f"Dockerfile:2: {name}: excluded by Dockerfile.dockerignore line {line} ({rule})" in done.said


def test_ignored_files_are_not_there_and_the_rule_is_named(build):
    files = {".dockerignore": "*.log\n!keep.log\n", "a.log": "", "keep.log": "", "b": ""}
    assert build("FROM bb\nCOPY . /c\nRUN ls /c\n", files=files).printed() == ["Dockerfile", "b", "keep.log"]
    done = build("FROM bb\nCOPY a.log /\n", check=False)
    assert done.code == 1 and "excluded by .dockerignore line 1" in done.said


def test_wildcards_exclude_and_parents(build):
    files = {"src/a.py": "", "src/b.txt": "", "src/sub/c.py": ""}
    assert build("FROM bb\nCOPY src/*.py /w/\nRUN ls /w\n", files=files).printed() == ["a.py"]
    assert build("FROM bb\nCOPY --exclude=*.txt src /x\nRUN find /x -type f | sort\n").printed() == [
        "/x/a.py",
        "/x/sub/c.py",
    ]
    assert build("FROM bb\nCOPY --parents src/sub/*.py /p/\nRUN find /p -type f\n").printed() == ["/p/src/sub/c.py"]


def test_files_that_stand_in_the_dockerfile(build):
    text = "FROM bb\nARG who=me\nCOPY <<one <<'two' /d/\nhi $who\none\nraw $who\ntwo\nRUN cat /d/one /d/two; stat -c %a /d/one\n"
    assert build(text).printed() == ["hi me", "raw $who", "644"]


def test_workdir_makes_a_directory_that_belongs_to_the_user(build):
    text = "FROM bb\nWORKDIR /a\nWORKDIR b\nUSER web\nWORKDIR /h/i\nRUN pwd; stat -c '%n %a %U' /a/b /h /h/i\n"
    assert build(text).printed() == ["/h/i", "/a/b 755 root", "/h 755 web", "/h/i 755 web"]


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_add_unpacks_archives_by_their_content(build, context, kind):
    (context / "x").mkdir()
    (context / "x/f").write_text("inside")
    with tarfile.open(context / "archive", f"w:{kind}") as tar:
        tar.add(context / "x", "top", filter=_owned)
    done = build(
        "FROM bb\nADD archive /d\nADD --unpack=false archive /plain\nRUN stat -c '%n %u' /d/top/f; ls /plain\n"
    )
    assert done.printed() == ["/d/top/f 77", "/plain"]


def _owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = 77
    return entry


def test_add_copies_what_only_looks_like_an_archive(build):
    assert build("FROM bb\nADD fake.tar.gz /d/\nRUN ls /d\n", files={"fake.tar.gz": "no"}).printed() == ["fake.tar.gz"]


def test_ten_thousand_files_and_deep_trees_arrive_whole(build, context):
    for number in range(100):
        directory = context / f"t/{number}"
        directory.mkdir(parents=True)
        for name in range(100):
            (directory / str(name)).write_text(str(name))
    deep = context / "t/deep"
    for _ in range(150):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "end").write_text("")
    done = build("FROM bb\nCOPY t /t\nRUN find /t -type f | wc -l; cat /t/7/42; find /t -name end | wc -c\n")
    assert done.printed() == ["10001", "42" + str(len("/t/deep/end\n") + 300)]


def test_sparse_and_large_files_are_copied_whole(build, context: Path):
    with (context / "big").open("wb") as file:
        file.write(os.urandom(3 << 20))
    with (context / "holes").open("wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
        file.truncate(9 << 20)
    sums = subprocess.run(["sha256sum", "big", "holes"], cwd=context, capture_output=True, text=True, check=True).stdout
    done = build("FROM bb\nCOPY big holes /d/\nRUN cd /d && sha256sum big holes\n")
    assert done.printed() == sums.splitlines()
    shutil.rmtree(context)
