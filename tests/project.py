"""A copy of the project's revisions that a test may add to, and the doors to it."""

import os
import shutil
import subprocess
import sys
import textwrap
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import commands
from runner.deadline import Deadline

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Project:
    """A folder with `alembic.ini` and `alembic/`."""

    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> "Project":
        shutil.copy(ROOT / "alembic.ini", folder)
        shutil.copytree(ROOT / "alembic", folder / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
        return cls(folder)

    def add(
        self, revision: str, upgrade: str, *, after: str | None = "017_dry_run_log", downgrade: str = "pass"
    ) -> Path:
        """Write a revision with the given bodies and return its path."""
        path = self.folder / "alembic" / "versions" / f"{revision}.py"
        path.write_text(
            f'"""{revision[4:].replace("_", " ")}"""\n'
            "import time\n"
            "import sqlalchemy as sa\n"
            "from alembic import op\n"
            f"revision = {revision!r}\n"
            f"down_revision = {after!r}\n"
            f"def upgrade():\n{textwrap.indent(textwrap.dedent(upgrade).strip(), '    ')}\n"
            f"def downgrade():\n{textwrap.indent(textwrap.dedent(downgrade).strip(), '    ')}\n"
        )
        return path

    def ask(self, url: str | None, event: Any, *, timeout_s: float = 60, **environ: str) -> dict[str, Any]:
        """Call the facade as the doors do, with an environment of its own."""
        known = {"ALEMBIC_CONFIG": str(self.folder / "alembic.ini"), **environ}
        if url is not None:
            known["DATABASE_URL"] = url
        return commands.execute(event, known, str(uuid.uuid4()), Deadline.after(timeout_s), lambda *_, **__: None)

    def run(self, *command: str, url: str | None = None, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run one of the installed programs in the project's folder, with nothing else in its environment."""
        program = Path(sys.executable).parent / command[0]
        known = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **environ}
        if url is not None:
            known["DATABASE_URL"] = url
        return subprocess.run(
            [program, *command[1:]], cwd=self.folder, env=known, capture_output=True, text=True, check=False
        )
