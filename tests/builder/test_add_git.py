"""ADD of git repositories, from a real git daemon on loopback."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs
from tests.suites.certificates import authority
from tests.suites.fileserver import say, serving
from tests.suites.repositories import Repository, daemon, http_backend, sshd

pytestmark = needs("crun", "git")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return tmp_path / "repositories"


@pytest.fixture
def repository(top: Path) -> Repository:
    repository = Repository(top / "app.git")
    (repository.path / "run").write_text("#!/bin/sh\n")
    (repository.path / "run").chmod(0o775)
    (repository.path / "link").symlink_to("run")
    repository.commit({"README": "one\n", "sub/deep/file": "deep\n"})
    return repository


@pytest.fixture
def server(top: Path, repository: Repository) -> Iterator[str]:
    with daemon(top) as server:
        yield server


def test_the_default_branchs_files_come_with_plain_modes_and_without_git(build, server):
    text = (
        f"FROM bb\nADD {server}/app.git /app\nRUN cd /app; stat -c '%n %a %u:%g' README run sub; readlink link; ls -A\n"
    )
    assert build(text, umask=0o077).printed() == [
        "README 644 0:0", "run 755 0:0", "sub 755 0:0", "run", "README", "link", "run", "sub",
    ]  # fmt: skip


def test_branches_tags_commits_and_directories_can_be_named(build, server, repository):
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "-a", "v1", "-m", "v1")
    repository.git("checkout", "-q", "-b", "topic/x")
    repository.commit({"README": "topic\n"})
    repository.git("checkout", "-q", "main")
    repository.commit({"README": "two\n"})
    forms = ["", "#topic/x", "#v1", f"#{first}", "?branch=topic/x", "?tag=v1", "?ref=refs/heads/main",
             f"?ref=v1&checksum={first[:7]}", "#:sub/deep", "?subdir=sub/deep"]  # fmt: skip
    adds = "".join(f"ADD {server}/app.git{form} /{n}/\n" for n, form in enumerate(forms))
    done = build(
        f"FROM bb\n{adds}RUN cat /0/README /1/README /2/README /3/README /4/README /5/README /6/README /7/README /8/file /9/file\n"
    )
    assert done.printed() == ["two", "topic", "one", "one", "topic", "one", "two", "one", "deep", "deep"]


def test_a_branch_that_has_not_moved_costs_one_question_and_one_that_has_is_built_anew(build, server, repository):
    text = f"FROM bb\nADD {server}/app.git#main /app\nRUN cat /app/README\n"
    first = build(text)
    assert build(text).id == first.id and "RUN cat /app/README: CACHED" in build(text).steps
    repository.git("branch", "same")
    assert build(text.replace("#main", "#same")).steps[-1] == "RUN cat /app/README: CACHED"
    repository.commit({"README": "two\n"})
    assert build(text).printed() == ["two"]


def test_a_whole_commit_is_known_without_asking_the_server(build, server, repository, top):
    commit = repository.git("rev-parse", "HEAD")
    text = f"FROM bb\nADD {server}/app.git#{commit} /app\n"
    build(text)
    (top / "app.git").rename(top / "gone")
    assert build(text).code == 0


def test_the_git_directory_is_kept_when_asked_for_and_knows_no_credentials(build, server, repository):
    commit = repository.git("rev-parse", "HEAD")
    text = f"FROM bb\nADD --keep-git-dir {server}/app.git /a\nADD {server}/app.git?keep-git-dir=1 /b\nRUN cat /a/.git/HEAD /b/.git/HEAD; grep url /a/.git/config; ls /a/.git\n"
    said = build(text).printed()
    assert said[:3] == [commit, commit, f"\turl = {server}/app.git"] and "hooks" not in said and "logs" not in said


def test_times_are_the_commits_where_the_address_says_so(build, server):
    done = build(
        f"FROM bb\nADD {server}/app.git?mtime=commit /app\nRUN stat -c %Y /app/README /app/sub/deep /app/link\n"
    )
    assert done.printed() == ["1600000000"] * 3


def test_submodules_come_too_unless_told_otherwise(build, server, repository, top):
    library = Repository(top / "lib.git")
    library.commit({"lib.c": "code\n"})
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"{server}/lib.git", "lib")
    repository.commit({})
    text = f"FROM bb\nADD {server}/app.git /a\nADD {server}/app.git?submodules=false /b\nRUN cat /a/lib/lib.c; find /a /b -name .git; ls -A /b/lib\n"
    assert build(text).printed() == ["code"]


@pytest.mark.parametrize("url", ["ext::sh -c touch% {mark}", "file://{top}/lib.git", "{top}/lib.git"])
def test_submodules_speak_no_other_protocols(build, server, repository, top, tmp_path, url):
    Repository(top / "lib.git").commit({"f": ""})
    mark = tmp_path / "mark"
    commit = subprocess.run(
        ["git", "-C", top / "lib.git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    (repository.path / ".gitmodules").write_text(
        f'[submodule "l"]\n\tpath = lib\n\turl = "{url.format(mark=mark, top=top)}"\n'
    )
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit.stdout.strip()},lib")
    repository.git("add", ".gitmodules")
    repository.git("commit", "-q", "-m", "hostile")
    done = build(f"FROM bb\nADD {server}/app.git /a\n", check=False)
    assert done.code == 1 and "Dockerfile:2" in done.said and not mark.exists()


def test_what_a_repository_and_this_machine_configure_runs_nothing(build, server, repository, tmp_path):
    """Attributes that name filters, hooks in templates, the user's own configuration."""
    mark = tmp_path / "mark"
    repository.commit({".gitattributes": "* filter=evil\n"})
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    (home / "hooks/post-checkout").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (home / "hooks/post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {home}/hooks\n\tfsmonitor = touch {mark}\n[filter "evil"]\n\tsmudge = touch {mark}\n'
        f'[url "git://127.0.0.1:1/"]\n\tinsteadOf = {server}/\n'
    )
    environ = {"HOME": str(home), "GIT_SSH_COMMAND": f"touch {mark}", "GIT_EXTERNAL_DIFF": f"touch {mark}"}
    done = build(f"FROM bb\nADD {server}/app.git /a\nRUN cat /a/README\n", env=environ)
    assert done.printed() == ["one"] and not mark.exists()


def test_links_in_a_repository_do_not_lead_out_of_it(build, server, repository, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text("hush\n")
    (repository.path / "out").symlink_to(tmp_path / "secret")
    (repository.path / "git").symlink_to(".git")
    repository.commit({})
    for subdir in ("out", "git", "../../.."):
        done = build(f"FROM bb\nADD {server}/app.git#:{subdir} /a\nRUN ls -A /a\n", check=False)
        assert "hush" not in done.said and "HEAD" not in done.said and "file" not in done.printed()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{server}/app.git#nope", "has no branch or tag 'nope'"),
        ("{server}/app.git#" + "1" * 40, "1" * 40),
        ("{server}/app.git#:nope", "has no directory nope"),
        ("{server}/app.git?unknown=1", "unknown key 'unknown'"),
        ("{server}/app.git?ref=a&ref=b", "several ref"),
        ("{server}/app.git?ref=", "has no value"),
        ("{server}/app.git?ref=a&tag=b", "two commits"),
        ("{server}/app.git?submodules=maybe", "write true or false"),
        ("{server}/app.git#-oProxyCommand=x", "invalid git reference"),
        ("{server}/app.git#--upload-pack=x", "invalid git reference"),
        ("ssh://-oProxyCommand=x/app.git", "names no host"),
        ("git@127.0.0.1:-x/app.git", "begins with a -"),
        ("{server}/nope.git", "git cannot read"),
        ("git://127.0.0.1:1/app.git", "Connection refused"),
        ("http://127.0.0.1:1/app.git", "git cannot read"),
        ("--checksum=0000000 {server}/app.git", "not 0000000"),
        ("--checksum=xyz {server}/app.git", "invalid --checksum"),
        ("--keep-git-dir=false {server}/app.git?keep-git-dir=1", "contradict"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_clear_line_with_the_dockerfiles(build, server, source, said):
    flag, _, rest = source.rpartition(" ")
    done = build(f"FROM bb\nADD {flag} {rest.format(server=server)} /a\n", check=False)
    assert done.code == 1 and said in done.said and "Dockerfile:2" in done.said and "Traceback" not in done.said


def test_the_start_of_a_commit_can_be_asked_for(build, server, repository):
    commit = repository.git("rev-parse", "HEAD")
    build(
        f"FROM bb\nADD --checksum={commit[:9]} {server}/app.git#main /a\nADD --checksum={commit} {server}/app.git /b\n"
    )


def test_a_token_among_the_secrets_opens_a_web_server_and_only_that(build, top, repository, tmp_path):
    """A real `git http-backend`: one commit alone is fetched, also one that no branch points to."""
    first = repository.git("rev-parse", "HEAD")
    repository.commit({"README": "two\n"})
    (tmp_path / "token").write_text("t0ken\n")
    secret = f"--secret=id=GIT_AUTH_TOKEN,src={tmp_path / 'token'}"
    with serving() as site:

        def answer(handler):
            wanted = "Basic " + base64.b64encode(b"x-access-token:t0ken").decode()
            if handler.headers.get("Authorization") != wanted:
                return say(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
            return http_backend(top, handler)

        site.answer = answer
        text = f"FROM bb\nADD --keep-git-dir {site.url}/app.git/.git#{first} /a\n".replace("app.git/.git", "bare.git")
        (top / "bare.git").symlink_to("app.git/.git")
        done = build(text + "RUN cat /a/README; cat /a/.git/shallow\n", secret)
        refused = build(f"FROM bb\nADD {site.url}/bare.git /a\n", check=False)
    assert done.printed() == ["one", first] and "t0ken" not in done.said
    assert refused.code == 1 and "git cannot read" in refused.said


def test_what_is_left_out_counts(build, server):
    text = f"FROM bb\nADD --exclude=%s {server}/app.git /app\nRUN ls /app\n"
    assert build(text % "sub").printed() == ["README", "link", "run"]
    assert build(text % "README").printed() == ["link", "run", "sub"]


def test_ssh_is_the_machines_own_and_never_asks(build, top, repository, tmp_path):
    """A program called ssh that does on this machine what it is to do on the other."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nwhile [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n'
    )
    (tmp_path / "bin/ssh").chmod(0o755)
    path = f"{top}/app.git"
    text = f"FROM bb\nADD me@there.invalid:{path} /a\nADD ssh://me@there.invalid:2222{path}#main:sub /b\nRUN cat /a/README /b/deep/file\n"
    done = build(text, env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    assert done.printed() == ["one", "deep"]
    asked = (tmp_path / "asked").read_text()
    assert "-o BatchMode=yes" in asked and "me@there.invalid git-upload-pack" in asked and "-p 2222" in asked


def test_a_web_server_is_believed_whose_authority_the_user_names(build, top, repository, tmp_path):
    """A real `git http-backend` behind TLS, with submodules, a token, and an authority that no machine knows."""
    library = Repository(top / "lib.git")
    library.commit({"lib.c": "code\n"})
    known, tls = authority(tmp_path)
    (tmp_path / "token").write_text("t0ken\n")
    with serving(tls) as site:
        repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(top / "lib.git"), "lib")
        (repository.path / ".gitmodules").write_text(
            f'[submodule "lib"]\n\tpath = lib\n\turl = {site.url}/library.git\n'
        )
        repository.commit({})
        for name, link in (("app", "application.git"), ("lib", "library.git")):
            (top / link).symlink_to(f"{name}.git/.git")

        def answer(handler):
            wanted = "Basic " + base64.b64encode(b"x-access-token:t0ken").decode()
            if handler.headers.get("Authorization") != wanted:
                return say(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
            return http_backend(top, handler)

        site.answer = answer
        text = f"FROM bb\nADD --keep-git-dir {site.url}/application.git#main /a\nRUN cat /a/README /a/lib/lib.c /a/lib/.git; ls /a/.git/modules\n"
        secret = f"--secret=id=GIT_AUTH_TOKEN,src={tmp_path / 'token'}"
        refused = build(text, secret, check=False)
        done = build(text, secret, env={"SSL_CERT_FILE": str(known)})
    assert done.printed() == ["one", "code", "gitdir: ../.git/modules/lib", "lib"] and "t0ken" not in done.said
    assert refused.code == 1 and "certificate" in refused.said and "Dockerfile:2" in refused.said


@needs("sshd", "ssh-keygen", "ssh-agent")
def test_an_ssh_server_lets_in_whom_the_given_key_opens_it(base, top, repository, tmp_path, context, store_root):
    """A real sshd; its host key is in a file that only this test's process sees at its place."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    with sshd(tmp_path / "sshd", (tmp_path / "id.pub").read_text()) as (port, known):
        (tmp_path / "ssh").mkdir()
        (tmp_path / "ssh/ssh_known_hosts").write_text(known.read_text())
        address = f"ssh://root@127.0.0.1:{port}{repository.path}/.git"
        (context / "Dockerfile").write_text(
            f"FROM bb\nADD {address} /a\nADD --keep-git-dir {address}#main /b\nRUN cat /a/README; grep url /b/.git/config\n"
        )
        build = f"exec {sys.executable} -m lamella build --progress=plain"
        environ = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}

        def run(*options: str, before: str = f"mount --bind {tmp_path}/ssh /etc/ssh"):
            command = f"{before} && {build} {' '.join(options)}"
            return subprocess.run(
                ["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, cwd=ROOT,
                env={**environ, "LAMELLA_ROOT": str(store_root)},
            )  # fmt: skip

        locked = run(str(context))
        stranger = run(f"--ssh=default={tmp_path}/id", str(context), before="true")
        done = run(f"--ssh=default={tmp_path}/id", str(context))
        whole = run(f"--ssh=default={tmp_path}/id", "-f", "sub/Dockerfile", f"'{address}'")
    assert locked.returncode == 1 and "Permission denied (publickey)" in locked.stderr
    assert stranger.returncode == 1 and "Host key verification failed" in stranger.stderr
    assert done.returncode == 0 and " one\n" in done.stderr and f"url = {address}" in done.stderr
    assert whole.returncode == 1 and "sub/Dockerfile" in whole.stderr, whole.stderr


def test_without_git_the_package_is_named(base, server, context, store_root):
    (context / "Dockerfile").write_text(f"FROM bb\nADD {server}/app.git /a\n")
    hidden = f"mount --bind /dev/null {shutil.which('git')} && exec {sys.executable} -m lamella build {context}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hidden], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "LAMELLA_ROOT": str(store_root)},
    )  # fmt: skip
    assert done.returncode == 1 and "is not installed" in done.stderr and "install the package git" in done.stderr


def test_a_server_that_wants_credentials_gets_the_addresss_own_and_no_log_has_them(build, top, repository):
    """Over dumb http, which git falls back to: every request shows what authorised it."""
    repository.git("update-server-info")
    with serving() as site:

        def answer(handler):
            if handler.headers.get("Authorization") != "Basic YW5uOnMzY3JldA==":
                return say(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
            path = top / handler.path.partition("?")[0].lstrip("/").replace("app.git/", "app.git/.git/")
            return say(handler, 200, path.read_bytes()) if path.is_file() else say(handler, 404)

        site.answer = answer
        done = build(
            f"FROM bb\nADD --keep-git-dir {site.url.replace('://', '://ann:s3cret@')}/app.git /a\nRUN cat /a/README /a/.git/config\n"
        )
        refused = build(f"FROM bb\nADD {site.url}/app.git#x /a\n", check=False)
    assert done.printed()[0] == "one" and "s3cret" not in done.said
    assert refused.code == 1 and "git cannot read" in refused.said and "GIT_AUTH_TOKEN" in refused.said
