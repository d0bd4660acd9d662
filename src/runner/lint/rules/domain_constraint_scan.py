"""What is added to a domain is checked in each table with a column of it, and blocks the writes of all of them.

NOT VALID leaves the rows that are there unread, and is enforced for new values. But VALIDATE CONSTRAINT of a domain
blocks writes as well (`SHARE`), unlike that of a table; so what is to hold for all rows becomes a CHECK of each table,
or its column NOT NULL. https://www.postgresql.org/docs/current/sql-alterdomain.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.effects.removal import Thing
from runner.lint.parsing import parse_tree
from runner.lint.remedies import instead, made_safe
from runner.lint.rule import Rule, Violation, call
from runner.lint.state import domains
from runner.lint.state.chosen_names import unused
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Constraint, Table
from runner.postgres.sql import Name

ADD, DROP, SET_NOT_NULL, VALIDATE = "C", "X", "O", "V"
"""What an ALTER DOMAIN does, by the letter that the grammar gives it."""
Used = list[tuple[Table, tuple[str, ...]]]


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each change of a domain for which tables of the database are read."""
    database = revision.database
    for statement in revision.statements:
        node = statement.node
        if not isinstance(node, nodes.AlterDomainStmt) or not _reads(node):
            continue
        domain = parse_tree.parts_name(node.type_name)
        used = domains.tables(domain, revision.domains(statement), statement.before)
        if not database.is_complete and removal.is_there(Thing("domain", domain), revision, statement):
            message = f"{_done(node)} the domain `{shown(domain)}` blocks writes to each table with a column of it."
            yield Violation("error", message, _remedy(node), statement)
            continue
        if not used:
            continue
        largest = max((table for table, _ in used), key=database.many)
        read = ", ".join(f"{database.count(table)} of `{shown(table.name)}`" for table, _ in used)
        owners = ", ".join(f"`{shown(table.name)}`" for table, _ in used)
        message = f"{_done(node)} the domain `{shown(domain)}` blocks writes to {owners} while {read} are checked."
        advice = _instead(node, domain, used, _dropping(node, domain, revision, statement))
        yield Violation(database.by_rows(largest), message, _remedy(node), statement, largest, advice)


def _reads(node: nodes.AlterDomainStmt) -> bool:
    if node.subtype == ADD:
        return isinstance(node.def_, nodes.Constraint) and not node.def_.skip_validation
    return node.subtype in (SET_NOT_NULL, VALIDATE)


def _done(node: nodes.AlterDomainStmt) -> str:
    if node.subtype == VALIDATE:
        return f"Validating `{node.name}` of"
    if _is_not_null(node):
        return "NOT NULL for"
    named = node.def_.conname if isinstance(node.def_, nodes.Constraint) else ""
    return f"Adding the CHECK `{named}` to" if named else "Adding a CHECK to"


def _is_not_null(node: nodes.AlterDomainStmt) -> bool:
    added = node.def_
    return node.subtype == SET_NOT_NULL or (isinstance(added, nodes.Constraint) and added.contype == pb.CONSTR_NOTNULL)


def _remedy(node: nodes.AlterDomainStmt) -> str:
    if _is_not_null(node):
        return "Make the columns NOT NULL instead, with `set_not_null_safely`."
    added = "Leave it NOT VALID" if node.subtype == VALIDATE else "Add it NOT VALID"
    return f"{added}, for new values; for the rows, add a CHECK NOT VALID to each table, and validate it afterwards."


def _dropping(node: nodes.AlterDomainStmt, domain: Name, revision: Revision, statement: Statement) -> tuple[str, ...]:
    """Return the statement by which the revision drops the constraint whose name it gives to another."""
    named = node.def_.conname if isinstance(node.def_, nodes.Constraint) else ""
    return tuple(
        instead.executed(one.text)
        for one in revision.preceding(statement)
        if isinstance(one.node, nodes.AlterDomainStmt)
        and (one.node.subtype, one.node.name, parse_tree.parts_name(one.node.type_name)) == (DROP, named, domain)
    )


def _instead(node: nodes.AlterDomainStmt, domain: Name, used: Used, dropping: tuple[str, ...]) -> tuple[str, ...]:
    if _is_not_null(node):
        return tuple(
            call("set_not_null_safely", table.name[1], column, schema=table.name[0])
            for table, columns in used
            for column in columns
            if column not in table.proven
        )
    if not isinstance(node.def_, nodes.Constraint):
        return ()
    checks = [(_check(node.def_, domain, table, column), table) for table, columns in used for column in columns]
    added = [*dropping, made_safe.not_valid(node), *(made_safe.check(one, table)[0] for one, table in checks)]
    return "\n".join(added), "\n".join(made_safe.validate(one, table.name) for one, table in checks)


def _check(found: nodes.Constraint, domain: Name, table: Table, column: str) -> Constraint:
    """Return the CHECK of a domain as one of a column, which stands for VALUE."""
    name = unused(table.constraints.__contains__, table.name[1], column, found.conname or domain[1], "check")
    return Constraint(name, "check", (column,), parse_tree.of_column(found, column))


RULE = Rule(
    id="domain-constraint-scan",
    levels="An error from 10,000 rows on, else a warning; a domain without a table is nothing to find.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.execute("alter domain kilos drop constraint kilos_check")\n'
        'op.execute("alter domain kilos add constraint kilos_check check (value > 0)")',
        'op.execute("alter domain grade add constraint graded check (value > -1)")',
        'op.execute("ALTER DOMAIN public.Grade ADD CHECK (VALUE BETWEEN -1 AND 9 OR value > 9)")',
        'op.execute("alter domain rated set not null")',
        'op.execute("do $$ begin alter domain grade add constraint graded check (value > 0); end $$")',
        'op.execute("alter domain grade add constraint graded check (value > 0) not valid")\n'
        "---\n"
        'op.execute("alter domain grade validate constraint graded")',
    ),
    safe=(
        'op.execute("alter domain grade add constraint graded check (value > 0) not valid")',
        'op.execute("alter domain positive add constraint below check (value < 1000)")',
        'op.execute("alter domain grade set default 1")',
        'op.execute("create domain rank as integer")\nop.execute("alter domain rank set not null")',
    ),
)
