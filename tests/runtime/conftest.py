import os
import platform
from pathlib import Path

import pytest

from support import emulator
from support.project import Project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if platform.system() == "Linux":
        return
    for item in items:
        if "runtime" in Path(item.path).parts:
            item.add_marker(pytest.mark.skip(reason="the Runtime Interface Emulator runs on Linux only"))


@pytest.fixture
def task(tmp_path: Path, project: Project) -> Path:
    return emulator.lay_out(tmp_path, project.folder)


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
