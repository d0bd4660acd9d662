"""The text of a file that git has."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from runner.script import git, identifiers

COMMIT = ("-c", "user.name=ana", "-c", "user.email=ana@example.com", "commit", "-q", "-m", "a step")


def test_an_old_text_is_found_by_few_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of the repository, beside a commit without the file; however many commits there are."""
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    path = tmp_path / "alembic" / "versions" / "018 note.py"
    path.parent.mkdir(parents=True)
    texts = [b"first\n", b"", None, b"no end of line\nblob 3", b"last\n\n"]
    for text in texts:
        path.unlink() if text is None else path.write_bytes(text)
        subprocess.run(["git", "-C", tmp_path, "add", "-A"], check=True)
        subprocess.run(["git", "-C", tmp_path, *COMMIT], check=True)
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
    for text in filter(None, texts):
        trace.unlink(missing_ok=True)
        found = git.find(str(path), identifiers.checksum(text))
        assert found is not None
        assert found.content == text
        assert git.run(tmp_path, "show", f"{found.commit}:alembic/versions/018 note.py") == text
        events = [json.loads(line) for line in trace.read_text().splitlines()]
        assert len([one for one in events if one["event"] == "start"]) <= 4
    assert git.find(str(path), identifiers.checksum(b"never")) is None
    assert git.find(str(tmp_path / "other.py"), identifiers.checksum(b"first\n")) is None
