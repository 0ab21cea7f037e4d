"""ADD of http(s) files, from a server on loopback that also misbehaves."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator

import pytest

from builder.sources.address import HttpAddress
from builder.sources.http import Downloads
from builder.sources.web import Outside
from cli.build_web import ClientWeb
from core.errors import Integrity, InvalidInput, NotFound, Unavailable
from registry.client.settings import ClientSettings
from store.temporary import Temporaries
from tests.conftest import ROOT, needs
from tests.suites.fileserver import Files, Handler, say, serving

pytestmark = needs("crun")


@pytest.fixture
def site() -> Iterator[Files]:
    with serving() as site:
        yield site


def tarball(mode: str = "w:gz", **files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.gid = len(text), 7, 8
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_a_file_is_0600_has_the_servers_time_and_the_urls_name(build, site):
    site.files["/a/f%5B1%5D.txt"] = b"hello\n"
    site.modified["/a/f%5B1%5D.txt"] = 1600000000
    site.files["/plain"] = b"p"
    text = (
        f"FROM bb\nADD {site.url}/a/f%5B1%5D.txt?x=1 /d/\nADD {site.url}/plain /named\n"
        "RUN stat -c '%n %a %u:%g %Y' /d/* /named; cat /d/*\n"
    )
    assert build(text).printed() == ["/d/f[1].txt 600 0:0 1600000000", "/named 600 0:0 0", "hello"]


def test_owner_and_mode_can_be_given_and_the_history_is_buildkits(build, site):
    site.files["/f"] = b""
    done = build(f"FROM bb\nADD --chown=7:8 --chmod=640 {site.url}/f /f\nRUN stat -c '%a %u:%g' /f\n")
    assert done.printed() == ["640 7:8"]
    assert done.config.history[-2].created_by == f"ADD --chown=7:8 --chmod=640 {site.url}/f /f # buildkit"


def test_an_unchanged_file_is_asked_for_and_not_sent_again(build, site):
    site.files["/f"] = b"one\n"
    text = f"FROM bb\nADD {site.url}/f /f\nRUN cat /f\n"
    first = build(text)
    second = build(text)
    assert second.id == first.id and site.statuses("/f") == [200, 304]
    assert "RUN cat /f: CACHED" in second.steps
    site.files["/f"] = b"two\n"
    assert build(text).printed() == ["two"] and site.statuses("/f") == [200, 304, 200]


def test_last_modified_does_where_there_is_no_etag_and_nothing_where_it_is_too_new(build, site):
    site.etags = False
    site.files["/old"], site.modified["/old"] = b"o", 1600000000
    site.files["/new"], site.modified["/new"] = b"n", 1 << 33
    text = f"FROM bb\nADD {site.url}/old {site.url}/new /d/\n"
    ids = [build(text).id for _ in range(2)]
    assert ids[0] == ids[1] and site.statuses("/old") == [200, 304] and site.statuses("/new") == [200, 200]


def test_a_server_that_gives_etags_and_does_not_heed_them_need_not_send_all(build, site):
    site.rules["/f"] = lambda handler: say(handler, 200, b"same", {"ETag": '"x"'})
    text = f"FROM bb\nADD {site.url}/f /f\n"
    assert build(text).id == build(text).id and len(site.asked) == 2


def test_the_same_bytes_from_elsewhere_are_the_same_step(build, site):
    site.files["/a/f"] = site.files["/b/f"] = b"same"
    build(f"FROM bb\nADD {site.url}/a/f /x\nRUN echo hi\n")
    assert "RUN echo hi: CACHED" in build(f"FROM bb\nADD {site.url}/b/f /x\nRUN echo hi\n").steps


def test_no_cache_fetches_again(build, site):
    site.files["/f"] = b""
    text = f"FROM bb\nADD {site.url}/f /f\n"
    build(text), build(text, "--no-cache"), build(text)
    assert site.statuses("/f") == [200, 200, 304]


def test_what_prune_takes_is_fetched_again_and_what_an_image_keeps_is_not(build, lamella, site, store_root):
    site.files["/f"] = b"kept\n"
    text = f"FROM bb\nADD {site.url}/f /f\nRUN cat /f\n"
    first = build(text, "-t", "app")
    lamella("builder", "prune", "-f")
    assert build(text).id == first.id and site.statuses("/f") == [200, 304]
    lamella("builder", "prune", "-af")
    assert build(text).printed() == ["kept"] and site.statuses("/f") == [200, 304, 200]
    assert "RUN cat /f: CACHED" in build(text).steps


def test_a_fetched_file_that_was_pruned_alone_is_fetched_when_it_is_needed(build, lamella, site):
    site.files["/f"] = b"kept\n"
    build(f"FROM bb\nADD {site.url}/f /deep/f\n", "-t", "app")
    lamella("builder", "prune", "-f")
    assert build(f"FROM bb\nADD {site.url}/f /other\nRUN cat /other\n").printed() == ["kept"]
    assert site.statuses("/f") == [200, 304, 200]


def test_a_checksum_is_verified_and_spares_the_question(build, site, store_root):
    site.files["/f"] = b"hello\n"
    good = hashlib.sha256(b"hello\n").hexdigest()
    text = f"FROM bb\nADD --checksum=sha256:{good} {site.url}/f /f\nRUN cat /f\n"
    assert build(text).printed() == ["hello"] and site.statuses("/f") == [200]
    build(text)
    assert site.statuses("/f") == [200]
    done = build(f"FROM bb\nADD --checksum=sha256:{'0' * 64} {site.url}/f /f\n", check=False)
    assert done.code == 1 and f"sha256:{good}" in done.said and "0" * 64 in done.said and "Dockerfile:2: " in done.said
    assert not list((store_root / "tmp").iterdir())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ADD --checksum=sha256:12 {url}/f /f", "invalid digest"),
        ("ADD --checksum=sha512:" + "0" * 128 + " {url}/f /f", "is no sha256"),
        ("ADD --checksum=sha256:" + "0" * 64 + " Dockerfile /f", "--checksum is for one"),
        ("ADD --checksum=sha256:" + "0" * 64 + " {url}/f {url}/g /d/", "--checksum is for one"),
        ("ADD {url}/f {url}/g /d", "several sources need a directory"),
        ("ADD ftp://127.0.0.1/f /f", "there is no ftp here"),
        ("ADD http:///f /f", "names no host"),
        ("ADD {url}/missing /f", "the server answers 404"),
        ("ADD {url}/" + "n" * 300 + " /d/", "cannot be the name of a file"),
        ("ADD {url}/%00 /d/", "cannot be the name of a file"),
        ("COPY {url}/f /f", "COPY takes no URL"),
        ("ADD http://127.0.0.1:1/f /f", "connection refused"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_clear_line_with_the_dockerfiles(build, site, line, said):
    site.files["/f"] = b"f"
    done = build(f"FROM bb\n{line.format(url=site.url)}\n", check=False)
    assert done.code == 1 and said in done.said and "Dockerfile:2" in done.said and "Traceback" not in done.said


def test_archives_are_unpacked_only_when_asked(build, site):
    site.files["/a.tgz"] = tarball(inside="text\n")
    text = f"FROM bb\nADD {site.url}/a.tgz /plain\nADD --unpack {site.url}/a.tgz /u\nADD --unpack=true --chown=1:2 {site.url}/a.tgz /o\n"
    done = build(text + "RUN test -f /plain; cat /u/inside; stat -c %u:%g /u/inside /o/inside\n")
    assert done.printed() == ["text", "7:8", "1:2"]


def test_local_archives_can_be_kept_whole(build, context):
    (context / "a.tgz").write_bytes(tarball(inside="text\n"))
    assert build("FROM bb\nADD --unpack=false a.tgz /a\nRUN test -f /a && echo whole\n").printed() == ["whole"]


def test_local_and_remote_sources_go_together_in_their_order(build, site):
    site.files["/f"] = b"remote\n"
    text = f"FROM bb\nADD f {site.url}/f /one/\nADD {site.url}/f f <<g /two/\nhere\ng\nRUN cat /one/f /two/f /two/g\n"
    assert build(text, files={"f": "local\n"}).printed() == ["remote", "local", "here"]


def test_redirects_are_followed_and_credentials_stay_with_their_host(build, site):
    with serving() as other:
        other.files["/real"] = b"there\n"
        site.rules["/f"] = lambda handler: say(handler, 302, b"", {"Location": f"{other.url}/real"})
        url = site.url.replace("://", "://ann:s3cret@")
        done = build(f"FROM bb\nADD {url}/f /d/\nRUN cat /d/f\n")
        assert done.printed() == ["there"]
        assert "authorization" in site.asked[0][1] and "authorization" not in other.asked[0][1]
    assert "s3cret" not in done.said and not any("s3cret" in entry.created_by for entry in done.config.history)


@pytest.mark.parametrize("where", ["file:///etc/passwd", "gopher://x/", "http://"])
def test_redirects_lead_only_to_web_servers(build, site, where):
    site.rules["/f"] = lambda handler: say(handler, 302, b"", {"Location": where})
    done = build(f"FROM bb\nADD {site.url}/f /f\n", check=False)
    assert done.code == 1 and "Dockerfile:2" in done.said and "registry" not in done.said


def test_a_proxy_of_the_environment_is_used(build, site):
    site.rules["http://files.invalid/f"] = lambda handler: say(handler, 200, b"proxied\n")
    done = build("FROM bb\nADD http://files.invalid/f /f\nRUN cat /f\n", env={"http_proxy": site.url})
    assert done.printed() == ["proxied"]


def test_what_fails_for_a_moment_is_tried_again(build, site):
    site.files["/f"] = b"at last\n"

    def stumble(handler: Handler) -> int:
        tries = len(site.done)
        if tries == 0:
            return say(handler, 503)
        if tries == 1:  # cut short
            handler.close_connection = True
            return say(handler, 200, b"at", {"Content-Length": "8"})
        return site.answer(handler)

    site.rules["/f"] = stumble
    assert build(f"FROM bb\nADD {site.url}/f /f\nRUN cat /f\n").printed() == ["at last"]
    assert site.statuses("/f") == [503, 200, 200]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_download_leaves_nothing(base, context, store_root, site, number):
    begun = threading.Event()

    def slow(handler: Handler) -> int:
        handler.send_response(200)
        handler.end_headers()
        for piece in range(1000):
            handler.wfile.write(bytes(1 << 16))
            if piece == 20:  # by now it is being written down
                begun.set()
            time.sleep(0.01)
        return 200

    site.rules["/f"] = slow
    (context / "Dockerfile").write_text(f"FROM bb\nADD {site.url}/f /f\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "lamella", "build", context], stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "LAMELLA_ROOT": str(store_root)},
    )  # fmt: skip
    assert begun.wait(30)
    process.send_signal(number)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 128 + number and "Traceback" not in said
    assert not list((store_root / "tmp").iterdir()) and not list((store_root / "snapshots").iterdir())


class Notes(dict[str, bytes]):
    recall = dict.get
    remember = dict.__setitem__


def downloads(tmp_path, notes=None, secrets=None, **limits) -> Downloads:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    settings = ClientSettings(retries=1, backoff=0.01, certs_dirs=(), read_timeout=2)
    return Downloads(
        Outside(lambda: ClientWeb(settings), {}, (secrets or {}).get, **limits), Temporaries(tmp_path), notes
    )


def endless(handler: Handler) -> int:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(10_000):
        handler.wfile.write(bytes(1 << 16))
    return 200


def cut(handler: Handler) -> int:
    handler.close_connection = True
    return say(handler, 200, b"x", {"Content-Length": "10"})


@pytest.mark.parametrize(
    ("rule", "kind", "said"),
    [
        (lambda h: say(h, 403), InvalidInput, "403"),
        (lambda h: say(h, 401), InvalidInput, "HTTP_AUTH_TOKEN_127.0.0.1"),
        (lambda h: say(h, 410), NotFound, "410"),
        (lambda h: say(h, 418), InvalidInput, "418"),
        (lambda h: say(h, 204), InvalidInput, "204"),
        (lambda h: say(h, 304), Unavailable, "304"),
        (lambda h: say(h, 500), Unavailable, "500"),
        (lambda h: say(h, 302, b"", {"Location": "/f"}), Unavailable, "redirects to itself"),
        (lambda h: say(h, 200, b"x" * 2000), InvalidInput, "more than 1000 bytes"),
        (endless, InvalidInput, "more than 1000 bytes"),
        (cut, Unavailable, "/f"),
        (lambda h: (h.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000), 0)[1], Unavailable, "broke"),
        (lambda h: (h.wfile.write(b"no http\r\n\r\n"), 0)[1], Unavailable, "broke"),
    ],
)  # fmt: skip
def test_hostile_answers_keep_nothing_and_are_told_clearly(site, tmp_path, rule, kind, said):
    site.rules["/f"] = rule
    web = downloads(tmp_path, limit=1000)
    with pytest.raises(kind) as caught:
        web.fetch(HttpAddress(f"{site.url}/f"))
    web.close()
    assert said in f"{caught.value.message} {caught.value.hint}" and "registry" not in caught.value.message
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("secrets", "sent"),
    [
        ({"HTTP_AUTH_TOKEN_127.0.0.1": b"tok\n"}, "Bearer tok"),
        ({"HTTP_AUTH_HEADER_127.0.0.1": b"Basic abc", "HTTP_AUTH_TOKEN_127.0.0.1": b"tok"}, "Basic abc"),
        ({"HTTP_AUTH_TOKEN_other.example": b"tok"}, None),
    ],
)
def test_secrets_authorise_for_their_host_alone(site, tmp_path, secrets, sent):
    site.files["/f"] = b""
    web = downloads(tmp_path, secrets=secrets)
    web.fetch(HttpAddress(f"{site.url}/f")).close()
    web.close()
    assert site.asked[0][1].get("authorization") == sent


def test_the_secrets_of_a_build_authorise_and_reach_neither_log_nor_history(build, site, lamella, tmp_path):
    site.files["/f"] = b""
    site.files["/Dockerfile"] = f"FROM scratch\nADD {site.url}/f /f\n".encode()
    (tmp_path / "token").write_text("tok-en")
    option = f"--secret=id=HTTP_AUTH_TOKEN_127.0.0.1,src={tmp_path}/token"
    done = build(site.files["/Dockerfile"].decode(), option)
    assert "tok-en" not in done.said and "tok-en" not in str(done.config.history)
    lamella("build", option, f"{site.url}/Dockerfile")
    assert {(asked[0], asked[1].get("authorization")) for asked in site.asked} == {
        ("/f", "Bearer tok-en"), ("/Dockerfile", "Bearer tok-en"),
    }  # fmt: skip


def test_a_secret_cannot_smuggle_in_a_header(site, tmp_path):
    web = downloads(tmp_path, secrets={"HTTP_AUTH_TOKEN_127.0.0.1": b"tok\r\nX-Evil: 1"})
    with pytest.raises(InvalidInput, match="no header"):
        web.fetch(HttpAddress(f"{site.url}/f"))
    assert not site.asked


def test_one_build_hears_one_answer(site, tmp_path):
    site.files["/f"] = b"one"
    web, address = downloads(tmp_path, Notes()), HttpAddress(f"{site.url}/f")
    first = web.resolve(address)
    site.files["/f"] = b"two"
    assert web.resolve(address) == first
    with web.fetch(address) as spooled:
        assert spooled.path.read_bytes() == b"one"
    with pytest.raises(Integrity), web.fetch(address, first.digest):
        pass
    web.close()


def test_memory_is_bounded_by_buffers(site, tmp_path):
    """128 MiB pass through a process that may have 40 MiB more than it has at first."""

    def large(handler: Handler) -> int:
        handler.send_response(200)
        handler.send_header("Content-Length", str(128 << 20))
        handler.end_headers()
        for _ in range(128):
            handler.wfile.write(bytes(1 << 20))
        return 200

    site.rules["/large"] = large
    program = f"""
import resource, sys
from pathlib import Path
from builder.sources.http import Downloads
from builder.sources.address import HttpAddress
from builder.sources.web import Outside
from cli.build_web import ClientWeb
from registry.client.settings import ClientSettings
from store.temporary import Temporaries
web = Downloads(Outside(lambda: ClientWeb(ClientSettings())), Temporaries(Path({str(tmp_path)!r})))
try: web.fetch(HttpAddress({site.url + "/missing"!r}))
except Exception: pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
web.fetch(HttpAddress({site.url + "/large"!r})).close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    (tmp_path / "tmp").mkdir()
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40 << 10
