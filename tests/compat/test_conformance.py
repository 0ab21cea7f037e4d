"""The official conformance suite of the OCI distribution-spec, in its strictest mode."""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.suites.served import Served

SUITE = shutil.which("conformance", path=os.environ["PATH"] + f":{Path.home()}/go/bin")


@pytest.mark.skipif(not SUITE, reason="needs the official suite: run make conformance once")
def test_nothing_fails_and_nothing_is_skipped(served: Served, tmp_path: Path) -> None:
    env = {
        **os.environ, "OCI_REGISTRY": f"127.0.0.1:{served.port}", "OCI_TLS": "disabled", "OCI_VERSION": "dev",
        "OCI_DATA_SPARSE": "true", "OCI_REPO1": "conf/a", "OCI_REPO2": "conf/b", "OCI_RESULTS_DIR": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run([str(SUITE)], env=env, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    cases = list(ElementTree.parse(tmp_path / "junit.xml").getroot().iter("testcase"))
    bad = [
        case.get("name")
        for case in cases
        if any(case.find(word) is not None for word in ("failure", "error", "skipped"))
    ]
    assert done.returncode == 0 and not bad and len(cases) > 800, (bad, done.stdout[-2000:])
