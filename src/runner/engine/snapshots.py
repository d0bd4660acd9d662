"""The snapshots of a project, and whether they were made from the present text of its revisions."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory

from runner.errors import InvalidSettings
from runner.schema import snapshot
from runner.schema.catalog import Catalog
from runner.script import alembic_internals, graph


@dataclass(frozen=True)
class Snapshots:
    """The snapshots beside the revisions of `script`."""

    script: ScriptDirectory

    @property
    def folder(self) -> Path:
        """Return the folder of the snapshots."""
        return alembic_internals.folder(self.script) / "schema"

    def catalog(self, revision: str) -> Catalog | None:
        """Return the catalog after `revision`, or None if `migrate snapshot` has not written it yet."""
        found = snapshot.load(self.folder, revision)
        return None if found is None else found.catalog

    def is_current(self, revision: str) -> bool | None:
        """Return whether the snapshot of `revision` was made from the present text of it and of all before it.

        Returns None where that is unknown: there is no snapshot, or an older version wrote it.
        """
        found = snapshot.load(self.folder, revision)
        if found is None or found.made_from is None:
            return None
        return found.made_from == graph.lineage(self.script, revision)

    def render(self, revision: str, kinds: Catalog) -> str:
        """Return the text of the snapshot of `revision`, after which a database has the catalog `kinds`."""
        return snapshot.render(kinds, graph.lineage(self.script, revision))

    def refuse_outdated(self, revisions: Iterable[str]) -> None:
        """Raise `InvalidSettings` for the first of `revisions` whose snapshot was made from another text."""
        for revision in revisions:
            if self.is_current(revision) is False:
                raise InvalidSettings(
                    f"The snapshot of `{revision}` was made before that revision, or one before it, was edited.",
                    "Write it again with `migrate snapshot`, then run the same command again.",
                )
