"""What the cases work on: a fresh XFS on a loop device, a base image's root file system, contexts of known content."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
GIB = 1024**3


@contextlib.contextmanager
def fresh_xfs(image: Path, size: str = "60G") -> Iterator[Path]:
    """A new XFS mounted from a sparse file: ext4 is slow at creating files soon after many were deleted."""
    mountpoint = image.with_suffix(".mnt")
    mountpoint.mkdir()
    subprocess.run(["truncate", "-s", size, image], check=True)
    env = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    subprocess.run(["mkfs.xfs", "-q", image], check=True, env=env)
    subprocess.run(["mount", "-o", "loop", image, mountpoint], check=True)
    try:
        yield mountpoint
    finally:
        subprocess.run(["umount", "-l", mountpoint], check=False)
        mountpoint.rmdir()
        image.unlink()


def base(work: Path) -> Path:
    """The context of the base image."""
    context = work / "base"
    context.mkdir()
    subprocess.run([ROOT / "scripts/rootfs", "busybox", context / "rootfs.tar.gz"], check=True)
    (context / "Dockerfile").write_text('FROM scratch\nADD rootfs.tar.gz /\nCMD ["/bin/sh"]\n')
    return context


def ten_runs(work: Path) -> Path:
    context = work / "ten-runs"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM base\n" + "".join(f"RUN true {n}\n" for n in range(10)))
    return context


def many_files(work: Path, count: int = 10_000, name: str = "many-files") -> Path:
    """`count` files of 4 KiB in a hundred directories, and twelve steps of which one copies them."""
    context = work / name
    generator = random.Random(1)
    for directory in range(100):
        (context / "tree" / f"d{directory:02d}").mkdir(parents=True)
        for file in range(count // 100):
            (context / "tree" / f"d{directory:02d}" / f"f{file:03d}").write_bytes(generator.randbytes(4096))
    steps = "".join(f"ENV V{n}={n}\n" for n in range(5)) + "".join(f"RUN true {n}\n" for n in range(5))
    (context / "Dockerfile").write_text(f"FROM base\n{steps}COPY tree /tree\nCMD true\n")
    return context


def one_copy(work: Path) -> Path:
    """The same files, and the COPY alone."""
    context = work / "one-copy"
    context.mkdir()
    (context / "tree").symlink_to("../many-files/tree")
    subprocess.run(["cp", "-a", work / "many-files/tree", context / "copy"], check=True)
    (context / "tree").unlink()
    (context / "copy").rename(context / "tree")
    (context / "Dockerfile").write_text("FROM base\nCOPY tree /tree\n")
    return context


def big_file(work: Path, size: int = GIB) -> Path:
    """A file of `size` bytes that compresses to somewhat over a half."""
    context = work / "big-file"
    context.mkdir()
    generator = random.Random(2)
    words = [generator.randbytes(8) for _ in range(256)]
    with (context / "big").open("wb") as file:
        for _ in range(size // (1024 * 1024)):
            file.write(generator.randbytes(512 * 1024))
            file.write(b"".join(generator.choices(words, k=64 * 1024)))
    (context / "Dockerfile").write_text("FROM base\nCOPY big /big\n")
    return context


def debian(work: Path) -> Path:
    """A real Debian with Python in one archive, for ADD."""
    context = work / "debian"
    context.mkdir()
    subprocess.run(
        [ROOT / "scripts/rootfs", "debian", context / "rootfs.tar.gz", "python3-venv"], check=True, capture_output=True
    )
    (context / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar.gz /\n")
    return context


# A web shop's back end as such applications are: a framework, a queue, a database's driver, pictures, tables, a cloud's
# interface. 40 packages with what they need, 11,000 files without what Python compiles of them.
PACKAGES = (
    "async-timeout==4.0.3", "boto3==1.35.36", "celery==5.4.0", "django==4.2.16", "djangorestframework==3.15.2", "gunicorn==23.0.0", "pandas==2.2.3",
    "pillow==10.4.0", "psycopg[binary]==3.2.3", "redis==5.0.8", "requests==2.32.3", "whitenoise==6.7.0",
)  # fmt: skip
INSTALLERS = {
    "pip": "RUN python3 -m venv /opt/venv\nCOPY requirements.txt .\nRUN /opt/venv/bin/pip install -q {flags}\n",
    "uv": "COPY tools/uv /bin/\nENV UV_LINK_MODE=copy\nRUN uv venv -q /opt/venv\nCOPY requirements.txt .\n"
    "RUN uv pip install -q --python /opt/venv {flags}\n",
}
_FLAGS = "--no-index --find-links /wheels -r requirements.txt"
_APPLICATION = """FROM debian AS build
COPY wheels /wheels
WORKDIR /build
{install}
FROM debian
RUN useradd --system --home-dir /srv app
WORKDIR /srv
COPY --from=build /opt/venv /opt/venv
COPY --chown=app app app
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
RUN python3 -m compileall -q app && python3 -c 'import django, app.module000'
USER app
EXPOSE 8000
CMD ["gunicorn", "app.module000"]
"""


def python_app(work: Path, installer: str) -> Path:
    """An application on that Debian, in the two stages that are usual: a venv is made in one and copied to the other, and the
    code on it. The packages lie in the context, in the place of an index: nothing waits for the network."""
    context = work / f"python-app-{installer}"
    (context / "app").mkdir(parents=True)
    (context / "app/__init__.py").touch()
    for number in range(500):
        (context / "app" / f"module{number:03d}.py").write_text(f"VALUE = {number}\n")
    (context / "requirements.txt").write_text("".join(f"{package}\n" for package in PACKAGES))
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-cache-dir", "-d"]
    subprocess.run([*fetch, context / "wheels", "-r", context / "requirements.txt"], check=True)
    if installer == "uv":
        with tempfile.TemporaryDirectory() as scratch:
            fetch[3:] = ["install", "-q", "--no-cache-dir", "--target", scratch, "uv==0.13.9"]
            subprocess.run(fetch, check=True)
            (context / "tools").mkdir()
            shutil.copy(f"{scratch}/bin/uv", context / "tools")
    (context / ".dockerignore").write_text(".git\n**/__pycache__\n")
    install = INSTALLERS[installer].format(flags=_FLAGS)
    (context / "Dockerfile").write_text(_APPLICATION.format(install=install))
    return context


def stairs(work: Path, layers: int) -> Path:
    """As many RUN steps as `layers`."""
    context = work / f"stairs-{layers}"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM base\n" + "".join(f"RUN true {n}\n" for n in range(layers)))
    return context
