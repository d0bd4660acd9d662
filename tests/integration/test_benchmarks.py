"""The harness of the benchmarks, with the case in which the tools' differences are no matter of speed."""

import os
import subprocess
import sys

import pytest

from support.project import ROOT


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_quick_case_installs_the_others_and_tells() -> None:
    """After `kill -9` ours needs no hand; the figures of the repository are left as they are."""
    results = ROOT / "benchmarks" / "results.json"
    before = results.read_bytes()
    command = [sys.executable, "-m", "benchmarks", "--quick", "--case", "killed"]
    environ = {**os.environ, "PYTHONPATH": "tests"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "| killed in a revision: steps by hand | 0 | the others | 0 to 1 |  | 0 | yes |" in lines
    assert "| killed in a concurrent index build: steps by hand | 0 | the others | 1 to 2 |  | 0 | yes |" in lines
    assert results.read_bytes() == before
