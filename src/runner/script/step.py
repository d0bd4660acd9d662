"""A revision in a direction, as Alembic runs it."""

from dataclasses import dataclass

from alembic.script import Script

from runner.answer import Direction
from runner.script.alembic_internals import AlembicStep


@dataclass(frozen=True)
class Step:
    """One step of Alembic's, by the names that the runner uses."""

    alembics: AlembicStep

    @property
    def revision(self) -> str:
        """Return the revision that is applied or reverted; of a stamp, those that it stamps."""
        if self.is_stamp:
            return ",".join(self.ends) or "base"
        return str(self.alembics.info.up_revision_id)

    @property
    def direction(self) -> Direction:
        """Return the way in which the step goes."""
        if self.is_stamp:
            return "stamp"
        return "upgrade" if self.alembics.info.is_upgrade else "downgrade"

    @property
    def is_stamp(self) -> bool:
        """Tell whether it only writes the version table."""
        return bool(self.alembics.info.is_stamp)

    @property
    def description(self) -> str:
        """Return the first line of the file's docstring; the file is imported for it."""
        return self.alembics.doc or ""

    @property
    def parents(self) -> tuple[str, ...]:
        """Return the revisions that come directly before it."""
        return self.alembics.info.down_revision_ids

    @property
    def ends(self) -> tuple[str, ...]:
        """Return the revisions that the database is at after it."""
        return self.alembics.info.destination_revision_ids

    @property
    def script(self) -> Script | None:
        """Return the revision's file, None for a stamp to base."""
        info = self.alembics.info
        found = next(iter(info.destination_revisions), None) if self.is_stamp else info.up_revision
        return found if isinstance(found, Script) else None

    @property
    def path(self) -> str | None:
        """Return the path of the file that is applied or reverted."""
        return None if self.is_stamp or self.script is None else str(self.script.path)


@dataclass(frozen=True)
class Route:
    """The steps that lead from where a database is to a target."""

    steps: tuple[Step, ...]
    target: str
    """Absolute: one revision, several with a comma between them, or `base`."""
