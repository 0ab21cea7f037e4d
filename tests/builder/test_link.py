"""COPY --link: a layer that knows nothing of what is below it, and stays when that changes."""

from __future__ import annotations

from pathlib import Path

from store.store import Store
from tests.conftest import needs

pytestmark = needs("crun")


def layers(done) -> tuple[str, ...]:
    return done.config.diff_ids


def test_the_layer_stays_when_what_is_below_changes(build) -> None:
    text = "FROM bb\nRUN echo {} >/below\nCOPY --link d /app\nRUN cat /below /app/f; ls -d /bin/sh\n"
    first = build(text.format("one"), files={"d/f": "linked\n"})
    assert first.printed() == ["one", "linked", "/bin/sh"]
    second = build(text.format("two"))
    assert second.printed() == ["two", "linked", "/bin/sh"]
    assert second.steps[-3:] == [
        "RUN echo two >/below: DONE",
        "COPY d /app: CACHED",
        "RUN cat /below /app/f; ls -d /bin/sh: DONE",
    ]
    assert layers(first)[-2] == layers(second)[-2] and layers(first)[-3] != layers(second)[-3]
    assert [step.rpartition(" ")[2] for step in build(text.format("two")).steps] == ["DONE"] + ["CACHED"] * 3


def test_without_link_the_copy_is_made_again(build) -> None:
    text = "FROM bb\nRUN echo {} >/below\nCOPY d /app\n"
    build(text.format("one"), files={"d/f": "x"})
    assert build(text.format("two")).steps[-1] == "COPY d /app: DONE"


def test_a_changed_file_or_destination_makes_another_layer(build) -> None:
    build("FROM bb\nCOPY --link f /a/\n", files={"f": "1"})
    assert build("FROM bb\nCOPY --link f /a/\n", files={"f": "2"}).steps[-1] == "COPY f /a/: DONE"
    assert build("FROM bb\nCOPY --link f /b/\n").steps[-1] == "COPY f /b/: DONE"
    assert build("FROM bb\nCOPY --link f /b/\n", "--no-cache").steps[-1] == "COPY f /b/: DONE"


def test_what_is_there_is_kept_beside_it_and_no_link_is_followed(build) -> None:
    text = (
        "FROM bb\nRUN mkdir /dir && echo old >/dir/old && ln -s /dir /link && echo x >/file\n"
        "COPY --link f /dir/\nCOPY --link f /link/\nCOPY --link f /file/\nCOPY --link --chmod=600 --chown=5:6 f /new/deep/f\n"
        "RUN ls /dir; test -h /link || ls /link; ls /file; stat -c '%n %a %u:%g' /new /new/deep /new/deep/f\n"
    )
    done = build(text, files={"f": "x"})
    assert done.printed() == [
        "f", "old", "f", "f", "/new 600 5:6", "/new/deep 600 5:6", "/new/deep/f 600 5:6",
    ]  # fmt: skip


def test_the_layer_hides_nothing_of_what_is_below(build, store_root: Path) -> None:
    """No mark of overlayfs is in it: its tar has the files and the directories they are in."""
    done = build("FROM bb\nCOPY --link f /bin/new/f\nRUN ls /bin/sh /bin/new/f\n", files={"f": "x"})
    assert done.printed() == ["/bin/new/f", "/bin/sh"]
    with Store.open(store_root) as store:
        layer = store.layers.get(done.config.diff_ids[-2])
        assert layer
        names = sorted(str(path.relative_to(store.layer_path(layer.directory))) for path in store.layer_path(layer.directory).rglob("*"))  # fmt: skip
    assert names == ["bin", "bin/new", "bin/new/f"]


def test_sources_of_another_stage_and_heredocs_can_be_linked(build) -> None:
    text = (
        "FROM bb AS other\nRUN mkdir /o && echo o >/o/f && chown 3:4 /o/f\n"
        "FROM bb\nCOPY --link --from=other /o /p\nCOPY --link <<here /q/\ntext\nhere\nADD --link d /r\n"
        "RUN stat -c %u:%g /p/f; cat /p/f /q/here /r/x\n"
    )
    assert build(text, files={"d/x": "x\n"}).printed() == ["3:4", "o", "text", "x"]


def test_names_need_a_passwd_file(build) -> None:
    done = build("FROM bb\nCOPY --link --chown=web f /f\n", files={"f": ""}, check=False)
    assert done.code == 1 and "Dockerfile:2" in done.said and "give numbers" in done.said


def test_a_stage_on_a_linked_copy_sees_all(build) -> None:
    text = "FROM bb AS one\nCOPY --link f /f\nFROM one\nRUN cat /f; echo y >/f\nCOPY --link f /f\nRUN cat /f\n"
    assert build(text, files={"f": "x\n"}).printed() == ["x", "x"]
