"""What a session waits for, and how far its command has come."""

from dataclasses import dataclass

from sqlalchemy import Connection

from runner import policy
from runner.answer import Progress
from runner.postgres import queries
from runner.postgres.connect import APPLICATION
from runner.settings import Settings

TRANSACTIONS = frozenset({"transactionid", "virtualxid"})
"""The kinds of lock that a transaction has on itself."""


def ending(pid: int, session: str | None, application: str, settings: Settings, *, is_superuser: bool) -> str | None:
    """Return the command that ends a session, in backticks, and where an environment does not allow that.

    None for a prepared transaction, whose pid is 0, another run and a superuser's session.
    """
    if not pid or application.startswith(APPLICATION) or is_superuser:
        return None
    return policy.offer(settings, "end-session", f"{pid}{f' --confirm {session}' if session else ''}")


@dataclass(frozen=True)
class Blocker:
    """A session that holds, or waits ahead for, the lock that another one wants."""

    wanted: str
    """The table, or the kind of lock where it is not a table's."""
    pid: int
    """0 for a prepared transaction, which no session has any more."""
    application: str
    doing: str
    """What it does and for how long, such as `idle in transaction for 12 min`."""
    session: str | None
    """Its id, None for a login that may not see it."""
    waited_ms: float
    """How long the statement has waited."""
    is_superuser: bool

    def ending(self, settings: Settings) -> str | None:
        """Return the command that ends it; see `ending`."""
        return ending(self.pid, self.session, self.application, settings, is_superuser=self.is_superuser)

    def __str__(self) -> str:
        # a transaction's own lock ends with it: an index is built once those before it have ended
        held = "the transaction of" if self.wanted in TRANSACTIONS else f"`{self.wanted}`, held by"
        if not self.pid:
            return f"{held} a prepared transaction (`migrate activity` shows the statement that ends it)"
        application = f" ({self.application})" if self.application else ""
        return f"{held} pid {self.pid}{application}, {self.doing}"


def query(name: str) -> str:
    """Return a statement of `activity.sql`, with the parts that others have in braces."""
    parts = queries.load_named("runner.postgres", "activity.sql")
    if name not in COMPOSED:
        return parts[name]
    target = parts["target"].format(session=parts["session"])
    return parts[name].format(session=parts["session"], progress=parts["progress"], target=target)


COMPOSED = frozenset({"blocker", "end", "progress_of", "read", "target"})
"""The statements with a part of another one in braces."""


def find(connection: Connection, pid: int) -> Blocker | None:
    """Return the session that blocks the backend `pid`, the oldest transaction's of several; None where none does."""
    row = connection.exec_driver_sql(query("blocker"), {"pid": pid}).first()
    if row is None:
        return None
    doing = say(row.state, row.state_s)
    waited_ms = float(row.waited_ms or 0)
    return Blocker(row.wanted, row.pid, row.application or "", doing, row.session, waited_ms, row.superuser)


def progress(connection: Connection, pid: int) -> Progress | None:
    """Return how far the command of the backend `pid` has come, None for one that PostgreSQL does not report on."""
    row = connection.exec_driver_sql(query("progress_of"), {"pid": pid}).mappings().first()
    return None if row is None else Progress(**row)


def say(state: str | None, seconds: float | None) -> str:
    """Return what a session does and for how long, such as `idle in transaction for 12 min`."""
    if state is None:
        return "not visible"
    return state if seconds is None else f"{state} for {age(seconds)}"


def age(seconds: float) -> str:
    """Return a length of time in its largest unit: `119 s`, `90 min`, `36 h`, `3 days`."""
    for unit, length, upto in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < upto:
            return f"{max(seconds, 0) / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
