"""What can go wrong, as data: a stable code, named fields, and the sentences made from them.

The order of the sentences is what happened, which state is left, one next step. The middle one depends
on how far the run came, so it is added where an answer is made (`payloads.Answer.fail`).
"""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(eq=False)
class MigrationError(Exception):
    """Carry a failure's code and fields; `what` and `hint` are filled from the fields."""

    code: ClassVar[str]
    what: ClassVar[str]
    hint: ClassVar[str]

    def __post_init__(self) -> None:
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """Say what happened, with names."""
        return self.what.format(**vars(self))

    @property
    def advice(self) -> str:
        """Say the one next step."""
        return self.hint.format(**vars(self))

    def details(self) -> dict[str, object]:
        """Return the fields that a program may want beside the sentence; none holds row data."""
        return {}


@dataclass(eq=False)
class InvalidPayload(MigrationError):
    reason: str
    known: str
    code = "invalid-payload"
    what = "{reason}"
    hint = "{known}"


@dataclass(eq=False)
class InvalidSettings(MigrationError):
    reason: str
    remedy: str
    code = "settings"
    what = "{reason}"
    hint = "{remedy}"


@dataclass(eq=False)
class UnknownRevision(MigrationError):
    reason: str
    remedy: str
    code = "unknown-revision"
    what = "{reason}"
    hint = "{remedy}"


@dataclass(eq=False)
class MultipleHeads(MigrationError):
    heads: tuple[str, ...]
    code = "multiple-heads"
    what = "The revisions end in {count} heads, {names}."
    hint = 'Merge them: `alembic merge -m "{message}" {arguments}`.'

    def __post_init__(self) -> None:
        self.count = len(self.heads)
        self.names = " and ".join(f"`{head}`" for head in self.heads)
        self.message = "merge " + " and ".join(head.partition("_")[2] or head for head in self.heads)
        self.arguments = " ".join(self.heads)
        super().__post_init__()


@dataclass(eq=False)
class StaleBranch(MigrationError):
    upstream: str
    missing: str
    head: str
    code = "multiple-heads"
    what = "`{upstream}` has `{missing}`, which this branch lacks: a new revision after `{head}` would make two heads."
    hint = "Bring the branch up to date (`git merge {upstream}`), then run `migrate new` again."


@dataclass(eq=False)
class LockHeld(MigrationError):
    database: str
    holder: str
    waited_s: float
    code = "lock-held"
    what = "Another run holds the migration lock of `{database}` ({holder}); waited {waited_s:.0f} s for it."
    hint = "Watch it with `migrate current`, and repeat when it has ended."


@dataclass(eq=False)
class RevisionFailed(MigrationError):
    """A revision's own code or SQL failed.

    `reason` names the exception and the database objects only: PostgreSQL's message and DETAIL can
    hold row data. `statement` is the statement with its literals masked.
    """

    revision: str
    file: str
    line: int | None
    reason: str
    sqlstate: str | None = None
    statement: str | None = None
    code = "revision-failed"
    what = "`{revision}` failed{place}: {reason}{quoted}."
    hint = "Correct `{file}`, then run the same command again."

    def __post_init__(self) -> None:
        self.place = f" in line {self.line} of `{self.file}`" if self.line else ""
        self.quoted = f", in `{self.statement}`" if self.statement else ""
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {
            "revision": self.revision,
            "line": self.line,
            "sqlstate": self.sqlstate,
            "statement": self.statement,
        }


@dataclass(eq=False)
class UnversionedDatabase(MigrationError):
    database: str
    differences: list[str]
    code = "unversioned-database"
    what = (
        "`{database}` has tables already that the pending revisions would make, and they differ in {count}: {listed}."
    )
    hint = (
        "Alter the tables to what the revisions expect, or move them out of the way, then run the same command again."
    )

    def __post_init__(self) -> None:
        self.count = count(len(self.differences), "place")
        self.listed = "; ".join(self.differences)
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {"differences": self.differences}


@dataclass(eq=False)
class Drift(MigrationError):
    database: str
    target: str
    differences: list[str]
    code = "drift"
    what = "`{database}` is not what `{target}` makes; it differs in {count}: {listed}."
    hint = "Mend the differences, or stamp the revision that the database really has."

    def __post_init__(self) -> None:
        self.count = count(len(self.differences), "place")
        self.listed = "; ".join(self.differences)
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {"differences": self.differences}


@dataclass(eq=False)
class DatabaseUnreachable(MigrationError):
    place: str
    reason: str
    remedy: str = "Check the host, the port and the security groups, then repeat."
    code = "database-unreachable"
    what = "No connection to `{place}`: {reason}."
    hint = "{remedy}"


@dataclass(eq=False)
class AuthenticationFailed(MigrationError):
    place: str
    user: str
    source: str
    code = "authentication-failed"
    what = "`{place}` refused the user `{user}`."
    hint = "Check the user and the password in {source}, then repeat."


@dataclass(eq=False)
class ReadOnlyDatabase(MigrationError):
    database: str
    reason: str
    code = "read-only-database"
    what = "`{database}` is read-only: {reason}."
    hint = "Use the cluster's writer endpoint, or lift `default_transaction_read_only`, then repeat."


@dataclass(eq=False)
class InternalError(MigrationError):
    """A bug of ours. Only the exception's type is told: its text may hold anything."""

    type: str
    frames: list[str] = field(repr=False)
    code = "internal-error"
    what = "The runner itself failed with {type}."
    hint = "Run `migrate current` to see where the database is, and report the frames in the log as a bug."


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 place`, `2 places`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
