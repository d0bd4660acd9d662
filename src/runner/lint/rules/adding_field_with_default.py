"""A new column with another value in each row rewrites the table, and blocks its reads and writes meanwhile.

So do a volatile default, such as `gen_random_uuid()`, `clock_timestamp()`, `random()` or `nextval()`, an identity, and
a column that is generated and STORED. A constant takes a moment, and so does `now()`: it is computed once, for all
rows. A default that is set afterwards is for new rows only, and takes a moment too.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import volatility
from runner.lint.remedies import new_columns
from runner.lint.rule import Rule, Violation, call
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table

FIRST_WITH_VIRTUAL = 18


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each column that is added to a table of the database with a value of its own in each row."""
    database = revision.database
    for statement in revision.statements:
        table = statement.reached
        for column in statement.columns():
            cause = volatility.cause(column, revision, statement)
            if table is None or cause is None:
                continue
            what, rows = f"Adding `{column.colname}` with {cause.text}", database.count(table)
            if cause.unknown is None:
                level = database.by_rows(table)
                message = (
                    f"{what} rewrites `{shown(table.name)}` and its indexes, and blocks its reads and writes while "
                    f"{rows} are written."
                )
            else:
                level = "warning"
                message = (
                    f"{what} rewrites `{shown(table.name)}` with {rows}, and blocks its reads and writes meanwhile, if "
                    f"`{shown(cause.unknown)}` is volatile, which is not known."
                )
            remedy, instead = _advice(column, table, revision, statement)
            yield Violation(level, message, remedy, statement, table, instead)


def _advice(
    column: nodes.ColumnDef, table: Table, revision: Revision, statement: Statement
) -> tuple[str, tuple[str, ...]]:
    name, version = column.colname, revision.database.major_version
    kinds = {one.contype for one in column.constraints if isinstance(one, nodes.Constraint)}
    if pb.CONSTR_GENERATED in kinds:
        virtual = "Make it VIRTUAL" if version >= FIRST_WITH_VIRTUAL else "Compute it in a view"
        return f"{virtual}; or add a plain column, fill it by a trigger, and the rows that are there in batches.", ()
    then = "then fill the rows that are there in batches"
    if kinds & {pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY, pb.CONSTR_IDENTITY}:
        then += f", and then `{call('set_not_null_safely', table.name[1], name, schema=table.name[0])}`"
    if pb.CONSTR_IDENTITY in kinds:
        then += "; an identity can replace the default after that"
    instead = new_columns.safely(column, revision, statement)
    return f"Add it without the default, set the default for new rows, {then}.", instead


RULE = Rule(
    id="adding-field-with-default",
    levels="An error from 10,000 rows on, else a warning; a warning for a function that may be volatile or not.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.add_column("items", sa.Column("key", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))',
        'op.execute("ALTER TABLE ONLY Items ADD \\"Seen\\" timestamptz NOT NULL DEFAULT clock_timestamp(), ADD n int")',
        "op.execute(\"alter table archive.items add ticket bigint default nextval('tickets') check (ticket > 0)\")",
        'op.add_column("items", sa.Column("twice", sa.Numeric(), sa.Computed("price * 2", persisted=True)))',
        'op.add_column("items", sa.Column("place", sa.BigInteger(), sa.Identity()))',
        'op.execute("do $$ begin alter table events add dice double precision default random(); end $$")',
        'op.execute("create function draw() returns float return random()")\n'
        'op.execute("alter table items add drawn float default draw()")',
        'op.execute("create function draw(n int) returns float immutable return n")\n'
        'op.execute("create function draw() returns float begin atomic select random(); end")\n'
        'op.execute("create function draw(n int, m int) returns float stable return n + m")\n'
        'op.execute("alter table items add drawn float default draw()")',
        'op.execute("alter function rank_of(bigint) volatile security definer")\n'
        'op.execute("alter table items add rank bigint default rank_of(1)")',
    ),
    safe=(
        'op.add_column("items", sa.Column("key", sa.Uuid()))\n'
        'op.alter_column("items", "key", server_default=sa.text("gen_random_uuid()"))',
        'op.add_column("items", sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()")))',
        'op.execute("alter table items add day date not null default current_date, add rank int default rank_of(1)")',
        "op.execute(\"alter table items add label text default upper('x')\")",
        'op.execute("create function one(n int default 1) returns int return n")\n'
        'op.execute("create function one(n int, m int) returns float return random()")\n'
        'op.execute("alter table items add drawn int default one()")',
    ),
)
