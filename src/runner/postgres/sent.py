"""The statements that a revision has sent: as many and as much of each as an answer names, however many there are."""

from dataclasses import dataclass, field

from runner.postgres import sql
from runner.postgres.sql import Target

MOST = 50
"""The most statements that are kept."""
KEPT_LENGTH = 10_000
"""The characters of a statement that are kept; an answer shows fewer, without comments."""
DEFINING_LENGTH = 1_000_000
"""The characters of all statements that are kept whole, since they may define a table."""


@dataclass
class Sent:
    """The statements of a revision so far."""

    number: int = 0
    first: list[str] = field(default_factory=list)
    """How the first of them begin."""
    targets: set[Target] = field(default_factory=set)
    """What indexes were built of concurrently, outside a transaction."""
    defining: list[str] = field(default_factory=list)
    """Those that may define a table, whole, by which an adopted one is completed."""

    @property
    def more(self) -> int:
        """Return the number of statements that are not kept."""
        return self.number - len(self.first)

    def add(self, text: str, *, autocommit: bool) -> None:
        """Add a statement."""
        self.number += 1
        if len(self.first) < MOST:
            self.first.append(text[:KEPT_LENGTH])
        target = sql.target_of_build(text) if autocommit else None
        if target is not None:
            self.targets.add(target)
        if "table" in text.lower() and sum(map(len, self.defining), len(text)) <= DEFINING_LENGTH:
            self.defining.append(text)

    def clear(self) -> None:
        """Forget all statements."""
        self.number = 0
        self.first.clear()
        self.targets.clear()
        self.defining.clear()
