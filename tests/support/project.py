"""A copy of the project's revisions to which a test may add, and its doors."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import commands
from runner.deadline import Deadline
from runner.schema import snapshot
from runner.schema.catalog import Catalog

ROOT = Path(__file__).parents[2]

FIRST = ("016_platform_baseline", "017_dry_run_log")
# A body that ends after `create table told ()`, so that a test can do as much as it needs before that.
UNTIL_TOLD = """
op.execute('''
    do $$ begin
        while not exists (select from pg_class where relname = 'told') loop
            perform pg_sleep(0.05);
        end loop;
    end $$
''')
"""


def _ignored(folder: str, names: list[str]) -> list[str]:
    if Path(folder).name in ("versions", "schema"):
        return [name for name in names if Path(name).stem not in FIRST]
    return [name for name in names if name == "__pycache__"]


@dataclass(frozen=True)
class Project:
    """A folder with `alembic.ini` and `alembic/`."""

    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> "Project":
        """Copy the first two revisions, on which the tests rely, so that later ones do not affect them."""
        shutil.copy(ROOT / "alembic.ini", folder)
        shutil.copytree(ROOT / "alembic", folder / "alembic", ignore=_ignored)
        return cls(folder)

    @classmethod
    def copy_whole(cls, folder: Path) -> "Project":
        """Copy all revisions, for tests that apply to every revision."""
        shutil.copy(ROOT / "alembic.ini", folder)
        shutil.copytree(ROOT / "alembic", folder / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
        return cls(folder)

    def add(
        self, revision: str, upgrade: str, *, after: str | None = "017_dry_run_log", downgrade: str = "pass"
    ) -> Path:
        """Write a revision with the given bodies and return its path."""
        path = self.folder / "alembic" / "versions" / f"{revision}.py"
        for compiled in path.parent.glob(f"__pycache__/{revision}.*"):
            # to Python a file of the same size and modification second is unchanged
            compiled.unlink()
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

    @property
    def schema(self) -> Path:
        """The folder of the snapshots."""
        return self.folder / "alembic" / "schema"

    def snapshot(self, revision: str) -> Catalog:
        """Return the catalog in a revision's snapshot."""
        found = snapshot.load(self.schema, revision)
        assert found is not None
        return found.catalog

    def add_many(self, number: int, body: str) -> list[str]:
        """Add a chain of revisions after 017; `{name}` and `{number}` in the body are replaced for each revision."""
        names = [f"{place:03d}_step" for place in range(18, 18 + number)]
        for after, name in zip(["017_dry_run_log", *names], names, strict=False):
            self.add(name, body.replace("{name}", f"t{name[:3]}").replace("{number}", name[:3]), after=after)
        return names

    def start(self, *command: str, url: str, **environ: str) -> "subprocess.Popen[str]":
        """Start one of the installed programs in its own process group, and do not wait for it."""
        return subprocess.Popen(
            [Path(sys.executable).parent / command[0], *command[1:]],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "DATABASE_URL": url, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ask(
        self,
        url: str | None,
        event: Any,
        *,
        timeout_s: float = 60,
        ends_in: str | None = None,
        left_s: float = 0.2,
        **environ: str,
    ) -> dict[str, Any]:
        """Call `commands.execute` as the doors do, with `environ` as the whole environment.

        `ends_in` names the revision in which the time runs out, `left_s` after its beginning, however long the run
        takes until then.
        """
        known = {"ALEMBIC_CONFIG": str(self.folder / "alembic.ini"), **environ}
        if url is not None:
            known["DATABASE_URL"] = url
        deadline = Deadline.after(timeout_s)
        tell = _ending(deadline, ends_in, left_s)
        reply = commands.execute(event, known, str(uuid.uuid4()), deadline, tell)
        if reply.error is not None:
            raise reply.error
        return reply.document

    def run(self, *command: str, url: str | None = None, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run one of the installed programs in the project's folder, with nothing else in its environment."""
        program = Path(sys.executable).parent / command[0]
        known = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **environ}
        if url is not None:
            known["DATABASE_URL"] = url
        return subprocess.run(
            [program, *command[1:]], cwd=self.folder, env=known, capture_output=True, text=True, check=False
        )


def _ending(deadline: Deadline, revision: str | None, left_s: float) -> Callable[..., None]:
    """Return a `tell` that moves the deadline near when the revision begins for the first time."""
    begun: list[float] = []

    def tell(_: str, **fields: object) -> None:
        if not begun and revision is not None and (fields.get("event"), fields.get("revision")) == ("begun", revision):
            begun.append(time.monotonic())
            # the class is frozen: only a test moves a deadline
            object.__setattr__(deadline, "ends_at", begun[0] + left_s)

    return tell
