"""Where PostgreSQL keeps the tables and indexes of a database."""

from collections.abc import Mapping
from dataclasses import dataclass

from runner.postgres.sql import Name


@dataclass(frozen=True)
class Tablespaces:
    """The tablespaces of a database that have relations of it."""

    default: str
    """That of the database, for all that are not in `others`."""
    others: Mapping[Name, str]
    """Those of tables, indexes and materialized views, by their names in the database."""

    def of(self, name: Name) -> str:
        """Return the tablespace of a relation."""
        return self.others.get(name, self.default)
