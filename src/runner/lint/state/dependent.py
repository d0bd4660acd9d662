"""The objects that depend on others, as PostgreSQL's catalog has them."""

from collections.abc import Callable
from dataclasses import dataclass

from runner.postgres.sql import Name


@dataclass(frozen=True)
class Root:
    """An object that is dropped: its quoted name, a routine's with arguments, and the name of its column or so."""

    name: str
    part: str = ""


@dataclass(frozen=True)
class Dependent:
    """An object that CASCADE drops."""

    kind: str
    """As `pg_identify_object` names it, such as `table constraint`."""
    name: Name
    """The table's for what belongs to one."""
    identity: str
    part: str | None = None
    """The name that it has in its table: of a constraint, a column, a trigger, a policy or a rule."""

    def __str__(self) -> str:
        kind = self.kind.split()[-1]
        if self.part is None:
            return f"{self.kind} `{self.identity.removeprefix('public.')}`"
        # such as a `materialized view column`
        kind = self.kind.split()[-1]
        owner = self.name[1] if self.name[0] == "public" else ".".join(self.name)
        if self.kind == "default value":
            return f"default of `{owner}.{self.part}`"
        return f"column `{owner}.{self.part}`" if kind == "column" else f"{kind} `{self.part}` of `{owner}`"


Reader = Callable[[str, tuple[Root, ...]], tuple[Dependent, ...]]
"""Returns what goes with objects of a kind: `relation`, `type`, `routine`, `schema`, `extension`, `constraint`,
`column` (with those that inherit it), `own column`, or `role` for all that it owns."""
