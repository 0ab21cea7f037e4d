"""`--squash`: one layer with what is left at the end."""

from __future__ import annotations

from tests.conftest import needs

pytestmark = needs("crun")
TEXT = (
    "FROM bb\nRUN echo secret >/gone && echo kept >/kept && echo l >/l && ln /l /twin && mkdir -m 711 /dir && touch -d @5000 /dir/f\n"
    "RUN rm /gone /bin/yes && echo new >>/kept && chown 3:4 /dir/f\nCOPY d /d\nENV A=1\n"
)


def test_the_layers_that_a_build_adds_become_one(build, lamella, store_root) -> None:
    apart = build(TEXT, files={"d/x": "x"})
    done = build(TEXT, "--squash", "-t", "squashed")
    assert len(done.config.diff_ids) == 2 == len(apart.config.diff_ids) - 2
    assert done.config.diff_ids[0] == apart.config.diff_ids[0]
    assert done.config.config == apart.config.config
    assert [entry.empty_layer for entry in done.config.history[-5:]] == [True] * 4 + [False]
    look = "RUN cat /kept; stat -c '%h' /l; stat -c '%n %a %u:%g %Y' /dir /dir/f | sed 's/ [0-9]*$//'; stat -c %Y /dir/f; ls /d; ls -d /gone /bin/yes; true\n"
    said = build(f"FROM squashed\n{look}").printed()
    assert sorted(said) == sorted(
        ["kept", "new", "2", "/dir 711 0:0", "/dir/f 644 3:4", "5000", "x"]
        + [f"ls: {name}: No such file or directory" for name in ("/gone", "/bin/yes")]
    )


def test_what_was_removed_is_in_no_layer(build, lamella, store_root, tmp_path) -> None:
    build("FROM scratch\nCOPY f /secret\nCOPY g /secret\n", "--squash", "-t", "s", files={"f": "hush", "g": "fine"})
    lamella("save", "-o", tmp_path / "s.tar", "s")
    assert b"hush" not in (tmp_path / "s.tar").read_bytes() and b"fine" in (tmp_path / "s.tar").read_bytes()


def test_a_second_build_squashes_nothing_again(build) -> None:
    first = build(TEXT, "--squash", files={"d/x": "x"})
    second = build(TEXT, "--squash")
    assert (
        second.id == first.id
        and "squashing\n" in second.said
        and all(s.endswith(("CACHED", "DONE")) for s in second.steps)
    )
    lines = second.said.splitlines()
    assert lines[next(n for n, line in enumerate(lines) if line.endswith(" squashing")) + 1].endswith(" CACHED")


def test_stages_before_the_target_are_squashed_with_it(build) -> None:
    done = build("FROM bb AS one\nRUN echo 1 >/a\nRUN echo 2 >/b\nFROM one\nRUN echo 3 >/c\n", "--squash", "-t", "s")
    assert len(done.config.diff_ids) == 2
    assert build("FROM s\nRUN cat /a /b /c\n").printed() == ["1", "2", "3"]


def test_one_layer_is_left_as_it_is(build) -> None:
    assert build("FROM bb\nRUN echo 1 >/a\n", "--squash").id == build("FROM bb\nRUN echo 1 >/a\n").id
