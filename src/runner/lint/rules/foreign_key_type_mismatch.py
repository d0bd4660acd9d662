"""A foreign key whose column has another type than the referenced one fails, or does harm later.

PostgreSQL refuses types that it cannot compare. A narrower type cannot store the key's larger values: the INSERT fails
when they are reached. Where a cast compares the types, such as `integer` and `numeric`, no index of the referring
column is used, so that each DELETE of a referenced row reads all rows.
https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-PARMS-REFERENCES
"""

from collections.abc import Iterator, Mapping

from postgast import nodes

from runner.lint.effects import widening
from runner.lint.effects.widening import TEXTS, ZONED
from runner.lint.parsing import parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.remedies import foreign_keys
from runner.lint.rule import Rule, Violation
from runner.lint.state import added
from runner.lint.state.domains import Domain
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Constraint, Table
from runner.postgres.sql import Name
from runner.results import Level

LARGEST = {"int2": 32_767, "int4": 2_147_483_647, "int8": 9_223_372_036_854_775_807}
# The types that one kind of index compares with each other, as pg_amop has them.
FAMILIES = (
    frozenset(LARGEST), TEXTS, frozenset({"date", "timestamp", "timestamptz"}), frozenset({"float4", "float8"}),
    frozenset({"cidr", "inet"}),
)  # fmt: skip
# The casts that PostgreSQL does by itself, from the referring type to the referenced one: pg_cast.castcontext = 'i'.
CASTS = {
    "int2": {"numeric", "float4", "float8", "oid"}, "int4": {"numeric", "float4", "float8", "oid"},
    "int8": {"numeric", "float4", "float8", "oid"}, "numeric": {"float4", "float8"}, "bpchar": {"text", "varchar"},
    "text": {"bpchar"}, "time": {"timetz"}, "varchar": {"bpchar"},
}  # fmt: skip
KNOWN = frozenset(
    {*CASTS, *frozenset().union(*FAMILIES), "bool", "bytea", "json", "jsonb", "oid", "time", "timetz", "uuid"}
)
Found = tuple[Level, str]


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each foreign key with a column whose type differs from that of the referenced column."""
    for statement in revision.statements:
        owner, added = _added(statement)
        for one in added:
            referred = statement.before.find(one.referred) if one.referred is not None else None
            if owner is None or referred is None:
                continue
            referred = owner if referred.name == owner.name else referred
            pairs = zip(one.columns, foreign_keys.referred_columns(one, statement.before), strict=False)
            for column, key in pairs:
                if column in owner.columns and key in referred.columns:
                    yield from _judge(one, column, key, owner, referred, revision, statement)


def _added(statement: Statement) -> tuple[Table | None, list[Constraint]]:
    """Return the table of a statement as it is afterwards, and the foreign keys that are added to it."""
    match statement.node:
        case nodes.AlterTableStmt() if statement.table is not None:
            made = statement.after.find(statement.table.name)
            found = added.added_constraints(statement.node, statement.table)
            return made, [one for one in found if one.kind == "foreign key"]
        case nodes.CreateStmt(relation=nodes.RangeVar() as relation):
            made = statement.after.find(parse_tree.name(relation))
            is_made = made is not None and made.origin is None
            constraints = made.constraints.values() if made is not None and is_made else ()
            return made, [one for one in constraints if one.kind == "foreign key"]
    return None, []


def _judge(
    one: Constraint, column: str, key: str, owner: Table, referred: Table, revision: Revision, statement: Statement
) -> Iterator[Violation]:
    known = revision.domains(statement)
    types = owner.columns[column].type, referred.columns[key].type
    found = _harm(*types, column, owner, referred, known)
    if found is None:
        return
    level, harm = found
    if owner.origin is None and level == "warning":
        # nobody has rows in it yet
        level = "note"
    message = (
        f"The foreign key `{one.name}`: `{column}` of `{shown(owner.name)}` is `{types[0]}`, `{key}` of "
        f"`{shown(referred.name)}` is `{types[1]}`; {harm}."
    )
    remedy = f"Give `{column}` the type `{types[1]}`: at once in a new table, else by a new column, filled in batches."
    yield Violation(level, message, remedy, statement, owner)


def _harm(
    referring: Type, key: Type, column: str, owner: Table, referred: Table, known: Mapping[Name, Domain]
) -> Found | None:
    """Return what two types do to a foreign key, None where they are alike."""
    one, other = widening.base(referring, known), widening.base(key, known)
    pair = one.name, other.name
    if one.is_array or other.is_array or not set(pair) <= KNOWN:
        return None
    if pair[0] == pair[1] or set(pair) <= TEXTS:
        return _shorter(one, other, owner, referred)
    if set(pair) <= LARGEST.keys():
        if LARGEST[pair[0]] > LARGEST[pair[1]]:
            return "note", "it works, with each index, and the smaller type sets the largest key"
        largest = f"{LARGEST[pair[0]]:,}"
        return "warning", f"a key above {largest} does not fit, so that the INSERT into `{shown(owner.name)}` fails"
    if set(pair) == ZONED:
        return "warning", "they are compared in the time zone of each session, so that a key is found in one alone"
    if any(set(pair) <= family for family in FAMILIES):
        return "note", "it works, with each index"
    if pair[1] in CASTS.get(pair[0], ()):
        return "warning", (
            f"they are compared by a cast, so that no index of `{column}` is used, and each DELETE in "
            f"`{shown(referred.name)}` reads all rows of `{shown(owner.name)}`"
        )
    return "error", "PostgreSQL cannot compare them, so the statement fails"


def _shorter(one: Type, other: Type, owner: Table, referred: Table) -> Found | None:
    if not {one.name, other.name} <= TEXTS or not one.modifiers:
        return None
    if other.modifiers and other.modifiers[0] <= one.modifiers[0]:
        return None
    return "warning", (
        f"a key of `{shown(referred.name)}` that is longer than {one.modifiers[0]} characters does not fit, so that "
        f"the INSERT into `{shown(owner.name)}` fails"
    )


RULE = Rule(
    id="foreign-key-type-mismatch",
    levels="An error where the statement fails; a warning for a type that is narrower or cast; a note for a wider one.",
    find=find,
    bad=(
        'op.execute("alter table visits add foreign key (item_id) references items not valid")',
        'op.create_foreign_key("k", "items", "accounts", ["note"], ["id"], postgresql_not_valid=True)',
        'op.execute("create table notes (code text references items (code))")',
        'op.execute("alter table archive.items add foreign key (price) references items (code) not valid")',
        'op.execute("create table rates (n numeric primary key)")\n'
        'op.execute("alter table items add foreign key (number) references rates not valid")',
    ),
    safe=(
        'create_index_concurrently("visits_account", "visits", ["account_id"])\n'
        "---\n"
        'op.execute("alter table visits add foreign key (account_id) references accounts not valid")',
        'op.execute("create table notes (account_id bigint references accounts, item bigint references items (id))")',
    ),
)
