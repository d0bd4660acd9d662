"""Without an index of a foreign key's columns, each DELETE of a referenced row reads all rows that might refer to it.

So does each UPDATE of its key, and both hold their locks meanwhile. PostgreSQL indexes the referenced columns, not the
referring ones. An index helps that begins with these columns; one with a WHERE only where that is IS NOT NULL of them.
https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
"""

from collections.abc import Iterator

from runner.lint.remedies import foreign_keys, new_columns
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown
from runner.results import Level


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each foreign key of a table of the database that has no index at the end of the plan."""
    database = revision.database
    for statement in revision.statements:
        table, last = statement.table, foreign_keys.end(revision, statement)
        for one in statement.constraints("foreign key"):
            # what the plan makes or drops afterwards counts
            if table is None or last is None or one.referred is None or one.name not in last.constraints:
                continue
            if foreign_keys.is_indexed(one.columns, last, revision.end):
                continue
            owner = shown(table.name)
            message = (
                f"The foreign key `{one.name}` has no index of its columns in `{owner}`: each DELETE in "
                f"`{shown(one.referred)}`, and each UPDATE of its key, reads {database.count(table)} of `{owner}`."
            )
            remedy = "Build one with `create_index_concurrently`, in a revision before this."
            level: Level = "warning" if database.is_large(table) else "note"
            yield Violation(
                level, message, remedy, statement, table, new_columns.with_foreign_key(one, revision, statement)
            )


RULE = Rule(
    id="foreign-key-without-index",
    levels="A warning from 10,000 rows on, else a note.",
    find=find,
    bad=(
        'add_foreign_key_not_valid("visits_account_fk", "visits", "accounts", ["account_id"], ["id"])',
        'op.execute("alter table archive.items add foreign key (account_id) references accounts not valid")',
        'create_index_concurrently("visits_owned", "visits", ["account_id"], where="at IS NOT NULL")\n'
        "---\n"
        'op.execute("alter table visits add foreign key (account_id) references accounts not valid")',
        'op.execute("alter table items add owner bigint references accounts")',
    ),
    safe=(
        'create_index_concurrently("visits_account", "visits", ["account_id"])\n'
        "---\n"
        'add_foreign_key_not_valid("visits_account_fk", "visits", "accounts", ["account_id"], ["id"])',
        'create_index_concurrently("visits_account", "visits", ["account_id", "at"], where="account_id IS NOT NULL")\n'
        "---\n"
        'add_foreign_key_not_valid("visits_account_fk", "visits", "accounts", ["account_id"], ["id"])',
        'op.execute("create table notes (account_id bigint references accounts)")',
    ),
)
