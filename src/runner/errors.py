"""The errors, as data: a stable code, named fields, and the sentences made from them.

A message says what happened, which state is left, and one next step. The state depends on how far the run came, so
that sentence is added where an answer is made (`answer.Draft.fail`).
"""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

E = TypeVar("E", bound=BaseException)
MOST_LISTED = 10
"""The most differences that a message lists; the answer has all of them."""


# `eq=False` here and below: Python and libraries compare and hash exceptions by identity.
@dataclass(eq=False)
class MigrationError(Exception):
    """An error with a code; `what`, `left` and `hint` are templates that its fields fill in."""

    code: ClassVar[str]
    """Kebab-case and stable: callers, alarms and the runbook rely on it."""
    what: ClassVar[str]
    hint: ClassVar[str]
    left: ClassVar[str] = ""
    """The state that is left, where it does not depend on how far a run came."""

    def __post_init__(self) -> None:
        # the exception's own text, for a log that prints it
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """Return what happened, with names."""
        return self.what.format(**vars(self))

    @property
    def advice(self) -> str:
        """Return the one next step."""
        return self.hint.format(**vars(self))

    @property
    def state(self) -> str:
        """Return the state that is left; empty where it depends on the run."""
        return self.left.format(**vars(self))

    def details(self) -> dict[str, object]:
        """Return the fields that an answer has for programs; none holds row data."""
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
    hint = "Where the revisions are, merge them (`{command}`), and then run the same command again."

    def __post_init__(self) -> None:
        self.count = len(self.heads)
        self.names = " and ".join(f"`{head}`" for head in self.heads)
        message = "merge " + " and ".join(head.partition("_")[2] or head for head in self.heads)
        numbers = [int(head.partition("_")[0]) for head in self.heads if head.partition("_")[0].isdigit()]
        # an id of this project begins with the next number; Alembic's own would be a hash
        named = f" --rev-id {max(numbers) + 1:03d}_merge" if numbers else ""
        self.command = f'alembic merge{named} -m "{message}" {" ".join(self.heads)}'
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
    ending: str | None = None
    """How to end the holder, where it is not a migration."""
    code = "lock-held"
    what = "{who} holds the migration lock of `{database}` ({holder}), and did not release it within {waited_s:.0f} s."
    hint = "{remedy}"

    def __post_init__(self) -> None:
        self.who, self.remedy = (
            "Another run",
            "Watch it with `migrate current`, and run the same command again when it has ended.",
        )
        if self.ending is not None:
            self.who, self.remedy = "A session that is not a migration", f"{self.ending}, then repeat."
        super().__post_init__()


@dataclass(eq=False)
class RevisionFailed(MigrationError):
    """A failure of a revision's own code or SQL.

    `reason` names the exception, code and database objects only: other texts may contain row data.
    `statement` has its literals masked.
    """

    revision: str
    file: str
    line: int | None
    reason: str
    sqlstate: str | None = None
    statement: str | None = None
    remedy: str = "Correct `{file}`, then run the same command again."
    code = "revision-failed"
    what = "`{revision}` failed{place}: {reason}{quoted}."
    hint = "{remedy}"

    def __post_init__(self) -> None:
        # not `format`: a remedy may name an object of the database, whose name may contain braces
        self.remedy = self.remedy.replace("{file}", self.file)
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
class Differs(MigrationError):
    """A database that differs from a snapshot; `{count}` and `{listed}` stand for the differences."""

    database: str
    differences: list[str]

    def __post_init__(self) -> None:
        self.count = count(len(self.differences), "place")
        more = len(self.differences) - MOST_LISTED
        self.listed = "; ".join([*self.differences[:MOST_LISTED], *([f"and {more} more"] if more > 0 else [])])
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {"differences": self.differences}


@dataclass(eq=False)
class UnversionedDatabase(Differs):
    code = "unversioned-database"
    what = "`{database}` already has tables that the pending revisions create, and they differ in {count}: {listed}."
    hint = "Alter the tables to match the revisions, or move them to another schema, then run the same command again."


@dataclass(eq=False)
class Drift(Differs):
    target: str
    entries: list[str]
    """The lines of `alembic/accepted_drift.toml` that would accept each difference."""

    code = "drift"
    what = "`{database}` differs from the snapshot of `{target}` in {count}: {listed}."
    hint = (
        "Correct the differences, accept them in `alembic/accepted_drift.toml`, or stamp the revision whose schema the "
        "database has."
    )

    def details(self) -> dict[str, object]:
        return {**super().details(), "entries": self.entries}


@dataclass(eq=False)
class DatabaseUnreachable(MigrationError):
    place: str
    reason: str
    remedy: str = "Check the host, the port and the security groups, then repeat."
    code = "database-unreachable"
    what = "Could not connect to `{place}`: {reason}."
    hint = "{remedy}"


@dataclass(eq=False)
class AuthenticationFailed(MigrationError):
    place: str
    user: str
    source: str
    code = "authentication-failed"
    what = "`{place}` rejected the login of the user `{user}`."
    hint = "Check the user and the password in {source}, then repeat."


@dataclass(eq=False)
class ReadOnlyDatabase(MigrationError):
    database: str
    reason: str
    code = "read-only-database"
    what = "`{database}` is read-only: {reason}."
    hint = "Use the cluster's writer endpoint, or set `default_transaction_read_only` to `off`, then repeat."


@dataclass(eq=False)
class LockTimeout(MigrationError):
    """A revision that did not get its lock in any of its tries."""

    revision: str
    tries: int
    waited_s: float
    blocker: str
    ending: str | None = None
    """The command that ends the session that holds it, in backticks."""
    code = "lock-timeout"
    what = "`{revision}` gave up after {times} ({waited_s:.0f} s) waiting for {blocker}."
    hint = "{remedy}"

    def __post_init__(self) -> None:
        self.times = "1 try" if self.tries == 1 else f"{self.tries} tries"
        end = f"End it with {self.ending}, or wait" if self.ending else "Wait"
        self.remedy = f"{end} until it has ended, then run the same command again."
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {"revision": self.revision}


@dataclass(eq=False)
class Blocked(MigrationError):
    """A table of a reading command that another session has locked."""

    code = "lock-timeout"
    what = "A table this command reads is locked by another session, perhaps by a run (see `migrate current`)."
    hint = "Run the same command again when that session has ended."


@dataclass(eq=False)
class LockHeldTooLong(MigrationError):
    """A rehearsal that was ended because its lock blocked the application for too long."""

    revision: str
    table: str
    mode: str
    blocks: str
    held_ms: float
    allowed_ms: int
    code = "lock-hold-exceeded"
    what = (
        "`{revision}` held `{mode}` on `{table}`, which blocks {blocks}, for {held_ms:,.0f} ms. The limit is "
        "{allowed_ms:,} ms, so the rehearsal was stopped."
    )
    hint = "Make the revision hold the lock for less time, or rehearse on a clone with a larger `--max-lock-hold-ms`."

    def details(self) -> dict[str, object]:
        return {"revision": self.revision, "table": self.table, "mode": self.mode, "held_ms": self.held_ms}


@dataclass(eq=False)
class DeadlinePassed(MigrationError):
    code = "deadline"
    what = "The time ran out."
    hint = "Run the same command again with more time (`--timeout`, or the function's) to continue to the same target."


@dataclass(eq=False)
class ConnectionLost(MigrationError):
    """A connection that a failover, a restart or a termination ended, and that could not be opened again."""

    code = "database-unreachable"
    what = "The connection was lost."
    hint = "Run the same command again when the server is back, to continue to the same target."


class SessionEnded(ConnectionLost):
    """A session that the server closed, which is no fault of the network."""

    code = "session-ended"
    what = "The server closed the session: an administrator or a time-out ended it, or the server stopped."
    hint = (
        "Run the same command again. If that recurs, find out who ends sessions of this database "
        "(`pg_terminate_backend`, a time-out of the server, a restart)."
    )


@dataclass(eq=False)
class DatabaseFailed(MigrationError):
    """A statement of the runner's own that the server refused; its literals are masked."""

    sqlstate: str
    statement: str = ""
    reason: str = ""
    """What the server refused it for, in names of objects; empty where only the SQLSTATE is known."""
    remedy: str = "Look the SQLSTATE up in PostgreSQL's manual (appendix A), and the message in the server's log."
    code = "database-failed"
    what = "The server refused {refused}{why} (SQLSTATE {sqlstate})."
    hint = "{remedy}"

    def __post_init__(self) -> None:
        self.refused = f"`{self.statement}`" if self.statement else "a statement"
        self.why = f": {self.reason}" if self.reason else ""
        super().__post_init__()

    def details(self) -> dict[str, object]:
        fields: dict[str, object] = {"sqlstate": self.sqlstate}
        return {**fields, "statement": self.statement} if self.statement else fields


@dataclass(eq=False)
class EnvironmentFailed(MigrationError):
    """A failure of the project's `env.py`, or of what it imports."""

    file: str
    line: int | None
    reason: str
    code = "environment-failed"
    what = "`{file}` failed{place}: {reason}."
    hint = "Correct it, then run the same command again."

    def __post_init__(self) -> None:
        self.place = f" in line {self.line}" if self.line else ""
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {"line": self.line}


@dataclass(eq=False)
class MixedRevision(MigrationError):
    revision: str
    code = "mixed-revision"
    what = (
        "`{revision}` has an autocommit block after other statements. The block would commit those statements, "
        "and a failure would leave the revision partly applied."
    )
    hint = "Move the block into a revision of its own."

    def details(self) -> dict[str, object]:
        return {"revision": self.revision}


@dataclass(eq=False)
class EmptyRevision(MigrationError):
    """A revision that was begun and not written yet."""

    revision: str
    file: str
    code = "empty-revision"
    what = "`{revision}` is empty, and once it is applied its text cannot change any more."
    hint = (
        "Write `upgrade()` in `{file}`. If it is meant to do nothing, say why in a comment there: "
        "`# lint-allow empty-revision: REASON`. If another database has applied it, leave its text as it is, and write "
        "the revision after it: `migrate new`."
    )

    def details(self) -> dict[str, object]:
        return {"revision": self.revision}


@dataclass(eq=False)
class TransactionEnded(MigrationError):
    """A revision that commits or rolls back by itself.

    `how` is the statement or the method, where it is known. It was refused, or, if the error is `late`, it was sent
    past SQLAlchemy: `remaining` are the revision's first statements, which may remain, and `more` the number of others.
    """

    revision: str
    file: str
    line: int | None = None
    how: str = ""
    remaining: tuple[str, ...] = ()
    more: int = 0
    late: bool = False
    code = "transaction-ended"
    what = "`{revision}` {does} its own transaction{place}{quoted}."
    hint = "{remedy}"

    def __post_init__(self) -> None:
        self.does = "ended" if self.late else "ends"
        self.place = f" in line {self.line} of `{self.file}`" if self.line else ""
        self.quoted = f", by `{self.how}`" if self.how else ""
        self.remedy = (
            f"Undo by hand what remains of it, and remove the end of the transaction from `{self.file}`, then run the "
            "same command again."
            if self.late
            else "Remove it, since each revision is committed together with its version. What cannot run in a "
            "transaction goes into an autocommit block, in a revision of its own: `with "
            "op.get_context().autocommit_block():`. Then run the same command again."
        )
        super().__post_init__()

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Return the statements that may remain, as an answer lists them."""
        return (*self.remaining, f"{self.more} more") if self.more else self.remaining

    def details(self) -> dict[str, object]:
        return {"revision": self.revision, "line": self.line}


@dataclass(eq=False)
class PooledConnection(MigrationError):
    database: str
    code = "pooled-connection"
    what = "A pooler moves the session to `{database}` between servers, so its locks are not reliable."
    hint = "Connect to the server directly, or through a pool in session mode."


@dataclass(eq=False)
class HistoryChanged(MigrationError):
    """An applied revision whose text was edited."""

    revision: str
    ran_at: str
    recorded: str
    found: str
    accepting: str
    """The command that accepts the new text, in backticks, and where it is allowed."""
    runs_the_same: bool | None = None
    """Whether both texts run the same; None where that is not known."""
    old_text: str | None = None
    """The command that puts the old text back, where git has it."""
    can_redo: bool = False
    code = "history-changed"
    what = "`{revision}` was edited after it ran here on {ran_at} ({texts}){kind}."
    hint = "{remedy}"

    def __post_init__(self) -> None:
        self.texts = f"recorded {self.recorded[:8]}…, file {self.found[:8]}…"
        old = f"ut the old text back{f': `{self.old_text}`' if self.old_text else ''}"
        repair = f"ccept the new text with {self.accepting}"
        redo = "; or revert it and apply the new text with `migrate redo`" if self.can_redo else ""
        if self.runs_the_same:
            self.kind = "; only comments, docstrings or layout changed"
            self.remedy = f"A{repair}, or p{old}."
        else:
            self.kind = "" if self.runs_the_same is None else "; what it runs changed"
            stays = "the database stays as the old text made it, and `migrate check` says so"
            self.remedy = f"P{old}{redo}; or a{repair}: {stays}."
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {"revision": self.revision}


@dataclass(eq=False)
class DowngradeChanged(MigrationError):
    """A `downgrade()` that is not the one with which its revision ran, so that a `redo` must not run it."""

    revision: str
    known: bool
    """Whether it is known to have been edited; the row of an older image does not say."""
    path: str
    accepting: str
    """The command that accepts the present text, in backticks, and where it is allowed."""
    commit: str | None = None
    """The commit that has the text that ran, where git has it."""
    code = "history-changed"
    what = "{judged}, so it may not revert what ran here."
    hint = "{source}, then run `migrate redo` again; or accept the present text with {accepting}."

    def __post_init__(self) -> None:
        edited = f"`downgrade()` of `{self.revision}` was edited after it ran"
        self.judged = edited if self.known else f"It is not known whether {edited}"
        self.source = (
            f"Take `downgrade()` from commit {self.commit} (`git show {shlex.quote(f'{self.commit}:./{self.path}')}`)"
        )
        if self.commit is None:
            self.source = f"No commit of `{self.path}` has the text that ran: write its `downgrade()` as it was"
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {"revision": self.revision}


@dataclass(eq=False)
class HistoryContradicted(MigrationError):
    """The version table does not have what the ledger says was applied, or has more rows than heads."""

    at: str
    """The version table's view: its rows with a comma between them, or `base`."""
    view: str
    """The other view, of the ledger or of the revisions."""
    ways: str
    """A command for each of the two views."""
    lost: tuple[str, ...] = ()
    """The newest revisions that only the ledger has."""
    code = "history-changed"
    what = "The version table is contradicted: it says `{at}`, and {view}."
    hint = "Find out which of the two the schema is like, and write that: {ways}."


@dataclass(eq=False)
class UntrustedObject(MigrationError):
    """An object of the database that would run another role's code."""

    name: str
    reason: str
    remedy: str
    code = "untrusted-object"
    what = "`{name}` {reason}."
    hint = "{remedy}"

    def details(self) -> dict[str, object]:
        return {"object": self.name}


@dataclass(eq=False)
class ActionNotAllowed(MigrationError):
    action: str
    environment: str
    allowed: str
    code = "action-not-allowed"
    what = "`{action}` is not among the actions allowed in `{environment}` ({allowed})."
    hint = "Use another action, or name it in `ALLOWED_ACTIONS`, which replaces that list."


@dataclass(eq=False)
class InvalidIndexRemains(MigrationError):
    """An invalid index that a repair could neither drop nor build again."""

    index: str
    sqlstate: str | None
    code = "invalid-index"
    what = "`{index}` is invalid, and could neither be dropped nor built again (SQLSTATE {sqlstate})."
    left = "The text of the revision is recorded."
    hint = "Correct its rows or its owner, then run the same command again."

    def details(self) -> dict[str, object]:
        return {"sqlstate": self.sqlstate}


@dataclass(eq=False)
class SessionKept(MigrationError):
    """A session that may not be ended, or has not ended."""

    session: str
    reason: str
    remedy: str
    outcome: str = "Nothing was changed."
    code = "session-kept"
    what = "The session of {session} was not ended: {reason}."
    left = "{outcome}"
    hint = "{remedy}"


@dataclass(eq=False)
class ConfirmNeeded(MigrationError):
    reason: str
    at: str
    code = "confirm-needed"
    what = "{reason}."
    hint = "Run the same command with `--confirm {at}`."


@dataclass(eq=False)
class PlanNeeded(MigrationError):
    action: str
    environment: str
    target: str
    code = "plan-needed"
    what = "`{action}` in `{environment}` requires a plan id."
    hint = "Read `migrate plan {target}`, which names the plan's id, then run `migrate upgrade {target} --plan ID`."


@dataclass(eq=False)
class PlanStale(MigrationError):
    changes: list[str]
    target: str
    code = "plan-stale"
    what = "The plan no longer holds: {listed}."
    hint = "Make a new plan with `migrate plan {target}`, and read it."

    def __post_init__(self) -> None:
        self.listed = "; ".join(self.changes)
        super().__post_init__()

    def details(self) -> dict[str, object]:
        return {"changes": self.changes}


@dataclass(eq=False)
class Interrupted(MigrationError):
    """Ctrl-C or SIGTERM during a command."""

    remains: str = ""
    """The state that is left, where it does not depend on how far a run came."""
    code = "interrupted"
    what = "The run was interrupted."
    left = "{remains}"
    hint = "Run the same command again to continue."


@dataclass(eq=False)
class FunctionUnreachable(MigrationError):
    """A function that could not be invoked."""

    function: str
    reason: str
    remedy: str
    code = "function-unreachable"
    what = "`{function}` could not be invoked: {reason}."
    left = "Nothing was changed."
    hint = "{remedy}"


@dataclass(eq=False)
class FunctionFailed(MigrationError):
    """A function that began, or may have begun, and returned no answer; `outcome` is what is known of its work."""

    function: str
    reason: str
    outcome: str
    remedy: str
    code = "function-failed"
    what = "`{function}` {reason}."
    left = "{outcome}"
    hint = "{remedy}"


@dataclass(eq=False)
class StoppedWaiting(MigrationError):
    """Ctrl-C while a function is running; it stops the waiting, not the function."""

    function: str
    there: str
    code = "interrupted"
    what = "Stopped waiting for `{function}`."
    left = "The function continues to run."
    hint = "Check its progress with `migrate current`."


@dataclass(eq=False)
class ImageNotProven(MigrationError):
    """An image without a successful run in the ledger of the lower environment."""

    image: str
    environment: str
    reason: str
    remedy: str
    code = "image-not-proven"
    what = "{image} is not proven in `{environment}`: {reason}."
    left = "Nothing was changed."
    hint = "{remedy}"


@dataclass(eq=False)
class ImageRefused(MigrationError):
    """An image that may not, or cannot, be promoted to an environment."""

    image: str
    reason: str
    remedy: str
    code = "image-refused"
    what = "{image} was not promoted: {reason}."
    left = "Nothing was changed."
    hint = "{remedy}"


@dataclass(eq=False)
class AwsRefused(MigrationError):
    """A request of a promotion that AWS refused; `done` is what the promotion had changed before."""

    asked: str
    reason: str
    done: str
    remedy: str
    code = "aws-refused"
    what = "{asked} failed: {reason}."
    left = "{done}"
    hint = "{remedy}"


@dataclass(eq=False)
class StoppedPromoting(MigrationError):
    """Ctrl-C during a promotion."""

    done: str
    code = "interrupted"
    what = "The promotion was interrupted."
    left = "{done}"
    hint = "Run the same command again to continue."


@dataclass(eq=False)
class InternalError(MigrationError):
    """A bug of ours. Only the exception's type is shown: its text may contain secrets and row data."""

    type: str
    frames: list[str] = field(repr=False)
    code = "internal-error"
    what = "The runner itself failed with {type}."
    left = "Everything committed before it remains."
    hint = "Run `migrate current` to see the database's revision, and report the frames in the log as a bug."


@contextmanager
def translating(kinds: type[E] | tuple[type[E], ...], explain: Callable[[E], BaseException | None]) -> Iterator[None]:
    """Translate exceptions of `kinds`: raise the error that `explain` returns, or the exception itself for None.

    The raised error has neither context nor cause: texts of psycopg2, libpq and botocore may contain secrets and row
    data, and `raise … from None` leaves the context in place.
    """
    try:
        yield
    except kinds as error:
        problem = explain(error)
        if problem is None:
            raise
        try:
            raise problem
        finally:
            # only after the `raise`, which sets the context to the exception being handled
            problem.__context__ = problem.__cause__ = None


def count(number: int, noun: str, *, separator: str = "") -> str:
    """Return a number with its noun: `1 place`, `2 places`, and with `separator=","` also `2,000 places`."""
    return f"{number:{separator}} {noun}" if number == 1 else f"{number:{separator}} {noun}s"
