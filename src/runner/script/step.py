"""A step is a revision in a direction, as Alembic runs it; a route is a sequence of steps."""

from dataclasses import dataclass
from functools import cached_property

from alembic.script import Script

from runner.answer import Direction
from runner.script.alembic_internals import AlembicStep


@dataclass(frozen=True)
class Step:
    """One of Alembic's steps, with the names that the runner uses.

    They are looked up once: Alembic makes each of them anew, from a new object with a dozen more.
    """

    alembic_step: AlembicStep

    @cached_property
    def revision(self) -> str:
        """Return the id of the revision that is applied or reverted; for a stamp, the new heads or `base`."""
        if self.is_stamp:
            return ",".join(self.ends) or "base"
        # the revision above the step, in either direction
        return str(self.alembic_step.info.up_revision_id)

    @cached_property
    def direction(self) -> Direction:
        """Return the step's direction."""
        if self.is_stamp:
            return "stamp"
        return "upgrade" if self.alembic_step.info.is_upgrade else "downgrade"

    @cached_property
    def is_stamp(self) -> bool:
        """Return whether the step only writes the version table."""
        return bool(self.alembic_step.info.is_stamp)

    @property
    def description(self) -> str:
        """Return the first line of the file's docstring; this imports the file."""
        return self.alembic_step.doc or ""

    @property
    def parents(self) -> tuple[str, ...]:
        """Return the ids of the revisions directly before this one."""
        return self.alembic_step.info.down_revision_ids

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """Return the database's heads after the step."""
        return self.alembic_step.info.destination_revision_ids

    @cached_property
    def script(self) -> Script | None:
        """Return the revision's file, None for a stamp to base."""
        info = self.alembic_step.info
        # a stamp has no revision above it
        script = next(iter(info.destination_revisions), None) if self.is_stamp else info.up_revision
        return script if isinstance(script, Script) else None

    @property
    def path(self) -> str | None:
        """Return the path of the file that runs, None for a stamp."""
        return None if self.is_stamp or self.script is None else str(self.script.path)


@dataclass(frozen=True)
class Route:
    """The steps from the database's heads to a target."""

    steps: tuple[Step, ...]
    target: str
    """An absolute target: one revision, several with a comma between them, or `base`."""
