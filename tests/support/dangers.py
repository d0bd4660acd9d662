"""Operations that are dangerous on a database in use, each with the finding that it must have, and its safe twin.

They are on the tables of `examples.sql`. The comments name each tool's own list of checks, whose every item is here,
above a similar item of an earlier tool, or named with the reason why it is not.
"""

from dataclasses import dataclass

from runner.results import Level


@dataclass(frozen=True)
class Danger:
    """A dangerous body of `upgrade()`, or several revisions divided by a line of `---`, the last of which is it."""

    body: str
    rule: str | tuple[str, ...]
    """The rule that finds it; several where they are equally right."""
    level: Level
    """On tables with 100,000 rows."""
    empty: Level | None
    """On the same tables without a row, None where nothing must be said."""
    twin: str
    """Revisions that do the same safely; only an allowance where nothing else does it."""
    refused: bool = False
    """Whether PostgreSQL refuses it where the tables have rows, so that the run would fail."""


def sql(*statements: str) -> str:
    """Return the body that executes these statements in the revision's transaction."""
    return "\n".join(f"op.execute({one!r})" for one in statements)


def alone(*statements: str) -> str:
    """Return the body that executes these statements, each committed by itself."""
    return "with op.get_context().autocommit_block():\n" + "\n".join(f"    op.execute({one!r})" for one in statements)


def steps(*bodies: str) -> str:
    """Return these bodies as revisions."""
    return "\n---\n".join(bodies)


def allowed(body: str, *rules: str) -> str:
    """Return the body with an allowance of the rules, for what is right once nothing uses it any more."""
    return "\n".join([*(f"# lint-allow {rule}: nothing has used it since 2026-09" for rule in rules), body])


def by_rows(body: str, rule: str | tuple[str, ...], twin: str) -> Danger:
    """Return a danger whose harm grows with the rows."""
    return Danger(body, rule, "error", "warning", twin)


def with_rows(body: str, rule: str | tuple[str, ...], twin: str) -> Danger:
    """Return a danger that there is only where rows are read again."""
    return Danger(body, rule, "error", None, twin)


def breaking(body: str, rule: str | tuple[str, ...], twin: str) -> Danger:
    """Return a danger that breaks the application whatever the rows."""
    return Danger(body, rule, "error", "error", twin)


def refused(body: str, rule: str | tuple[str, ...], twin: str) -> Danger:
    """Return a danger that PostgreSQL refuses whatever the rows."""
    return Danger(body, rule, "error", "error", twin, refused=True)


def warned(body: str, rule: str | tuple[str, ...], twin: str) -> Danger:
    """Return a danger that does harm in some cases only, whatever the rows."""
    return Danger(body, rule, "warning", "warning", twin)


def noted(body: str, rule: str | tuple[str, ...], twin: str) -> Danger:
    """Return a danger that only takes a guarantee away, or is a matter of style."""
    return Danger(body, rule, "note", "note", twin)


def written(body: str, twin: str, level: Level = "error") -> Danger:
    """Return a danger that writes the rows of a large table at once; without rows it does nothing."""
    return Danger(body, "unbounded-write", level, None, twin)


ONE_BATCH = sql("update items set quantity = 2 where id between 1 and 500 and quantity is distinct from 2")
KEY_INDEX = 'create_index_concurrently("items_account", "items", ["account_id"])'
FOREIGN_KEY = steps(
    KEY_INDEX,
    'add_foreign_key_not_valid("items_account_fk", "items", "accounts", ["account_id"], ["id"])',
    'validate_constraint("items_account_fk", "items")',
)
CHECK = steps(
    'add_check_not_valid("items_quantity_check", "items", "quantity > 0")',
    'validate_constraint("items_quantity_check", "items")',
)
NEW_NUMBER = steps(
    'op.add_column("items", sa.Column("number_new", sa.BigInteger()))',
    sql("update items set number_new = number where id between 1 and 500"),
)
UNIQUE = steps(
    'create_index_concurrently("accounts_code_key", "accounts", ["code"], unique=True)',
    'add_key_using_index("accounts_code_key", "accounts", "accounts_code_key")',
)
EACH_PARTITION = steps(
    sql("create index events_item on only events (item_id)"),
    'create_index_concurrently("events_2025_item", "events_2025", ["item_id"])',
    'create_index_concurrently("events_2026_item", "events_2026", ["item_id"])',
    sql("alter index events_item attach partition events_2025_item")
    + "\n"
    + sql("alter index events_item attach partition events_2026_item"),
)
ATTACH = "alter table events attach partition events_2024 for values from ('2024-01-01') to ('2025-01-01')"
DETACH = "alter table events detach partition events_2025 concurrently"

DANGERS = {
    # strong_migrations, in the order of its README. Not here: adding a json column (nothing blocks or fails but a
    # DISTINCT of all columns), changing a default and an index of more than three columns (matters of Rails and speed).
    "removing a column": breaking(
        'op.drop_column("items", "note")',
        "ban-drop-column",
        allowed('op.drop_column("items", "note")', "ban-drop-column"),
    ),
    "changing the type of a column": by_rows(
        'op.alter_column("items", "number", type_=sa.BigInteger())', "changing-column-type", NEW_NUMBER
    ),
    "renaming a column": breaking(
        'op.alter_column("items", "note", new_column_name="remark")',
        "renaming-column",
        'op.add_column("items", sa.Column("remark", sa.Text()))',
    ),
    "renaming a table": breaking(
        'op.rename_table("visits", "calls")',
        "renaming-table",
        sql("create view calls as select * from visits"),
    ),
    "creating a table with the force option": breaking(
        sql("DROP TABLE IF EXISTS visits") + '\nop.create_table("visits", sa.Column("id", sa.BigInteger()))',
        "ban-drop-table",
        'op.create_table("visits_of_2026", sa.Column("id", sa.BigInteger()))',
    ),
    "adding an auto-incrementing column": by_rows(
        sql("alter table visits add column id bigserial"),
        "rewrites-table",
        steps(
            'op.add_column("visits", sa.Column("id", sa.BigInteger()))\n'
            + sql("create sequence visits_id_seq owned by visits.id"),
            sql("update visits set id = nextval('visits_id_seq') where visit_id between 1 and 500"),
            sql("alter table visits alter column id set default nextval('visits_id_seq')"),
        ),
    ),
    "adding a stored generated column": by_rows(
        'op.add_column("items", sa.Column("double", sa.BigInteger(), sa.Computed("number * 2", persisted=True)))',
        "adding-field-with-default",
        'op.add_column("items", sa.Column("double", sa.BigInteger()))',
    ),
    "adding a check constraint": by_rows(
        'op.create_check_constraint("items_quantity_check", "items", "quantity > 0")',
        "constraint-missing-not-valid",
        CHECK,
    ),
    "executing SQL that nobody knows beforehand": noted(
        sql("do $$ begin execute format('alter table items add column %I text', 'c' || 1 + 1); end $$"),
        "do-block",
        'op.add_column("items", sa.Column("c2", sa.Text()))',
    ),
    "backfilling in the transaction that alters": by_rows(
        'op.add_column("items", sa.Column("state", sa.Text()))\n'
        + sql("update items set state = 'new' where state is null"),
        "work-under-lock",
        steps(
            'op.add_column("items", sa.Column("state", sa.Text()))',
            sql("update items set state = 'new' where id between 1 and 500 and state is null"),
        ),
    ),
    "backfilling in a single statement": written(sql("update items set quantity = 2"), ONE_BATCH),
    "adding an index non-concurrently": by_rows(
        'op.create_index("items_quantity", "items", ["quantity"])',
        "require-concurrent-index-creation",
        'create_index_concurrently("items_quantity", "items", ["quantity"])',
    ),
    "removing an index non-concurrently": warned(
        'op.drop_index("items_name", "items")',
        "require-concurrent-index-deletion",
        'drop_index_concurrently("items_name")',
    ),
    "adding a reference": by_rows(
        'op.add_column("items", sa.Column("owner_id", sa.BigInteger()))\n'
        'op.create_index("ix_items_owner_id", "items", ["owner_id"])\n'
        'op.create_foreign_key(None, "items", "accounts", ["owner_id"], ["id"])',
        "require-concurrent-index-creation",
        steps(
            'op.add_column("items", sa.Column("owner_id", sa.BigInteger()))',
            'create_index_concurrently("ix_items_owner_id", "items", ["owner_id"])',
            'add_foreign_key_not_valid("items_owner_fk", "items", "accounts", ["owner_id"], ["id"])',
            'validate_constraint("items_owner_fk", "items")',
        ),
    ),
    "adding a foreign key": by_rows(
        'op.create_foreign_key("items_account_fk", "items", "accounts", ["account_id"], ["id"])',
        "adding-foreign-key-constraint",
        FOREIGN_KEY,
    ),
    "adding a unique constraint": by_rows(
        'op.create_unique_constraint("accounts_code_key", "accounts", ["code"])',
        "disallowed-unique-constraint",
        UNIQUE,
    ),
    "adding an exclusion constraint": by_rows(
        sql("alter table items add constraint items_during_excl exclude using gist (during with &&)"),
        "adding-exclusion-constraint",
        sql("create table bookings (during tstzrange, exclude using gist (during with &&))"),
    ),
    "setting NOT NULL": by_rows(
        'op.alter_column("items", "number", nullable=False)',
        "adding-not-nullable-field",
        'set_not_null_safely("items", "number")',
    ),
    "adding a column with a volatile default": by_rows(
        'op.add_column("items", sa.Column("key", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))',
        "adding-field-with-default",
        'op.add_column("items", sa.Column("key", sa.Uuid()))\n'
        'op.alter_column("items", "key", server_default=sa.text("gen_random_uuid()"))',
    ),
    "renaming a schema": breaking(
        sql("alter schema shelf rename to old"),
        "renaming-object",
        sql("create schema old", "create view old.books as select * from shelf.books"),
    ),
    # online_migrations, what strong_migrations has not. Not here: hash indexes, an inheritance column (Rails) and keys
    # of a short integer, which is a matter of style in a new table.
    "setting NOT NULL after a backfill in one transaction": by_rows(
        sql("update items set number = 0 where number is null", "alter table items alter column number set not null"),
        "adding-not-nullable-field",
        'set_not_null_safely("items", "number")',
    ),
    "replacing an index": warned(
        'op.drop_index("items_name")\nop.create_index("items_name_code", "items", ["name", "code"])',
        "require-concurrent-index-deletion",
        steps(
            'create_index_concurrently("items_name_code", "items", ["name", "code"])',
            'drop_index_concurrently("items_name")',
        ),
    ),
    "adding multiple foreign keys": by_rows(
        'op.create_foreign_key(None, "items", "accounts", ["account_id"], ["id"], source_schema="archive")\n'
        'op.create_foreign_key(None, "items", "accounts", ["account_id"], ["id"])',
        "adding-foreign-key-constraint",
        FOREIGN_KEY,
    ),
    "removing a table with multiple foreign keys": breaking(
        'op.drop_table("parcels")',
        "ban-drop-table",
        allowed('op.drop_table("parcels")', "ban-drop-table"),
    ),
    "a reference of another type, whose column cannot hold all keys": warned(
        sql(
            "alter table visits add constraint visits_item_fk foreign key (item_id) references items (id) not valid",
        ),
        "foreign-key-type-mismatch",
        steps(
            'op.add_column("visits", sa.Column("of_item", sa.BigInteger()))',
            'create_index_concurrently("visits_of_item", "visits", ["of_item"])',
            'add_foreign_key_not_valid("visits_item_fk", "visits", "items", ["of_item"], ["id"])',
        ),
    ),
    "a reference of a type that cannot be compared": refused(
        'op.create_foreign_key("accounts_item_fk", "accounts", "items", ["email"], ["id"])',
        "foreign-key-type-mismatch",
        steps(
            'op.add_column("accounts", sa.Column("item_id", sa.BigInteger()))',
            'create_index_concurrently("accounts_item", "accounts", ["item_id"])',
            'add_foreign_key_not_valid("accounts_item_fk", "accounts", "items", ["item_id"], ["id"])',
        ),
    ),
    # GitLab: "Avoiding downtime in migrations", the migration style guide, and its helpers: those for batches,
    # retries and indexes built at night do safely what is above and here. Adding a table is safe.
    "dropping a table": breaking(
        sql('drop table "Invoices"'), "ban-drop-table", allowed(sql('drop table "Invoices"'), "ban-drop-table")
    ),
    "dropping a column, quoted": breaking(
        sql('ALTER TABLE "Invoices" DROP "Number"'),
        "ban-drop-column",
        allowed(sql('ALTER TABLE "Invoices" DROP "Number"'), "ban-drop-column"),
    ),
    "renaming a column and keeping the old name in a view": breaking(
        sql(
            "alter table visits rename column at to visited_at",
            "create view visits_before as select visit_id, visited_at as at from visits",
        ),
        "renaming-column",
        'op.add_column("visits", sa.Column("visited_at", sa.DateTime(timezone=True)))',
    ),
    "a limit for a text (add_text_limit)": by_rows(
        sql("alter table items add check (char_length(note) <= 255)"),
        "constraint-missing-not-valid",
        steps(
            'add_check_not_valid("items_note_limit", "items", "char_length(note) <= 255")',
            'validate_constraint("items_note_limit", "items")',
        ),
    ),
    "an added constraint validated in the same transaction": by_rows(
        'add_check_not_valid("items_quantity_check", "items", "quantity > 0")\n'
        'validate_constraint("items_quantity_check", "items")',
        ("work-under-lock", "constraint-missing-not-valid"),
        alone(
            "alter table items drop constraint if exists items_quantity_check, "
            "add constraint items_quantity_check check (quantity > 0) not valid",
            "alter table items validate constraint items_quantity_check",
        ),
    ),
    "an added foreign key validated in the same transaction": by_rows(
        'add_foreign_key_not_valid("items_account_fk", "items", "accounts", ["account_id"], ["id"])\n'
        'validate_constraint("items_account_fk", "items")',
        ("work-under-lock", "adding-foreign-key-constraint"),
        FOREIGN_KEY,
    ),
    "SET NOT NULL with its check in one transaction": by_rows(
        sql(
            "alter table items add constraint c check (number is not null) not valid",
            "alter table items validate constraint c",
            "alter table items alter column number set not null",
            "alter table items drop constraint c",
        ),
        ("work-under-lock", "adding-not-nullable-field", "constraint-missing-not-valid"),
        'set_not_null_safely("items", "number")',
    ),
    "swapping the primary key": by_rows(
        sql(
            "alter table archive.items drop constraint items_pkey",
            "alter table archive.items add primary key (id, account_id)",
        ),
        "adding-serial-primary-key-field",
        steps(
            'set_not_null_safely("items", "account_id", schema="archive")',
            'create_index_concurrently("items_both", "items", ["id", "account_id"], unique=True, schema="archive")',
            "# lint-allow ban-drop-constraint: the other key takes its place\n"
            + sql(
                "alter table archive.items drop constraint items_pkey, "
                "add constraint items_pkey primary key using index items_both"
            ),
        ),
    ),
    "emptying a table (truncate_tables!)": Danger(
        sql("truncate visits"),
        "truncate",
        "error",
        "warning",
        sql("delete from visits where visit_id between 1 and 500"),
    ),
    "removing a foreign key": noted(
        'op.drop_constraint("parcels_supplier_id_fkey", "parcels", type_="foreignkey")',
        "ban-drop-constraint",
        sql("alter table parcels alter constraint parcels_supplier_id_fkey deferrable"),
    ),
    "dropping a sequence": breaking(
        sql("drop sequence tickets"), "ban-drop-sequence", allowed(sql("drop sequence tickets"), "ban-drop-sequence")
    ),
    "dropping the default of a column that needs a value": warned(
        sql("alter table items alter column at drop default"),
        "ban-drop-default",
        sql("alter table items alter column at set default clock_timestamp()"),
    ),
    "locking tables in one transaction": breaking(
        sql("lock table items, accounts in access exclusive mode"),
        "lock-table",
        sql("set local lock_timeout = '1s'", "select 1 from items where id = 1 for update"),
    ),
    "copying a table in a migration (INSERT … SELECT)": written(
        sql(
            "insert into archive.items (id, account_id, price) select id + 1000000, account_id, price from items "
            "where price > 5"
        ),
        sql(
            "insert into archive.items (id, account_id, price) select id + 1000000, account_id, price from items "
            "where id between 1 and 500"
        ),
        "warning",
    ),
    "filling a new table whose foreign key locks the old one": by_rows(
        'op.create_table("profiles", sa.Column("id", sa.BigInteger(), sa.ForeignKey("accounts.id"), primary_key=True))'
        + "\n"
        + sql("insert into profiles select id from accounts"),
        "work-under-lock",
        steps(
            'op.create_table("profiles", sa.Column("id", sa.BigInteger(), sa.ForeignKey("accounts.id"), '
            "primary_key=True))",
            sql("insert into profiles select id from accounts where id between 1 and 500"),
        ),
    ),
    # pgfence, its table and its RULES.md. Not here: other types of new columns (style), application_name, creating an
    # enum or a trigger and INHERIT (a moment), REPLICA IDENTITY FULL (more write-ahead log), DISABLE ROW LEVEL SECURITY
    # (it opens rows, but breaks nothing).
    "ADD COLUMN … NOT NULL without a default": refused(
        'op.add_column("items", sa.Column("kind", sa.Text(), nullable=False))',
        "adding-required-field",
        'op.add_column("items", sa.Column("kind", sa.Text(), nullable=False, server_default="plain"))',
    ),
    "a clock as the default": by_rows(
        'op.add_column("visits", sa.Column("seen_at", sa.DateTime(timezone=True), '
        'server_default=sa.text("clock_timestamp()"), nullable=False))',
        "adding-field-with-default",
        'op.add_column("visits", sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), '
        "nullable=False))",
    ),
    "DROP INDEX, of another schema": warned(
        sql("drop index shelf.books_title"),
        "require-concurrent-index-deletion",
        'drop_index_concurrently("books_title", schema="shelf")',
    ),
    "TRUNCATE … CASCADE": Danger(
        sql("truncate table suppliers cascade"),
        ("ban-truncate-cascade", "truncate"),
        "error",
        "warning",
        sql("delete from parcels where id = 7", "delete from suppliers where id = 7"),
    ),
    "VACUUM FULL": by_rows(
        alone("vacuum full visits"), ("rewrites-table", "concurrently-left-blind"), alone("vacuum (analyze) visits")
    ),
    "CLUSTER": by_rows(sql("cluster items using items_code"), "rewrites-table", alone("vacuum (analyze) items")),
    "CLUSTER in an autocommit block": by_rows(
        alone("CLUSTER items USING items_code"),
        ("rewrites-table", "concurrently-left-blind"),
        alone("vacuum (analyze) items"),
    ),
    "SET UNLOGGED": by_rows(
        sql("alter table visits set unlogged"),
        "rewrites-table",
        sql("create unlogged table visits_today (like visits)"),
    ),
    "SET LOGGED": by_rows(
        sql("alter table scratch set logged"), "rewrites-table", sql("create table scratch_kept (like scratch)")
    ),
    "CREATE INDEX CONCURRENTLY inside a transaction": refused(
        'op.create_index("items_quantity", "items", ["quantity"], postgresql_concurrently=True)',
        "ban-concurrent-index-creation-in-transaction",
        'create_index_concurrently("items_quantity", "items", ["quantity"])',
    ),
    "ENABLE ROW LEVEL SECURITY without a policy": breaking(
        sql("alter table accounts enable row level security"),
        "rls-without-policy",
        sql("create policy accounts_all on accounts using (true)", "alter table accounts enable row level security"),
    ),
    "dropping the only policy": breaking(
        sql("drop policy letters_owner on letters"),
        "rls-without-policy",
        sql("create policy letters_all on letters using (true)", "drop policy letters_owner on letters"),
    ),
    "FORCE ROW LEVEL SECURITY without a policy": breaking(
        sql("alter table items enable row level security, force row level security"),
        "rls-without-policy",
        sql(
            "create policy items_all on items using (true)",
            "alter table items enable row level security, force row level security",
        ),
    ),
    "DROP SCHEMA … CASCADE": breaking(
        sql("drop schema shelf cascade"),
        ("ban-drop-schema", "cascade-drops"),
        allowed(sql("drop table shelf.books; drop schema shelf"), "ban-drop-table", "ban-drop-schema"),
    ),
    "DROP DATABASE": refused(
        sql("drop database other"),
        ("not-in-transaction", "ban-drop-database"),
        sql("create schema other"),
    ),
    "REINDEX INDEX": by_rows(
        sql("reindex index items_code"),
        "require-concurrent-reindex",
        alone("reindex index concurrently items_code"),
    ),
    "REINDEX TABLE": by_rows(
        sql("REINDEX (VERBOSE) TABLE public.items"),
        "require-concurrent-reindex",
        alone("reindex (verbose) table concurrently public.items"),
    ),
    "ATTACH PARTITION": with_rows(
        sql(ATTACH),
        "attach-partition-scan",
        steps(
            'add_check_not_valid("events_2024_at", "events_2024", '
            "\"at >= timestamptz '2024-01-01' and at < timestamptz '2025-01-01'\")",
            'validate_constraint("events_2024_at", "events_2024")',
            sql(ATTACH),
        ),
    ),
    "DETACH PARTITION": warned(
        sql("alter table events detach partition events_2025"),
        "require-concurrent-partition-detach",
        "# lint-allow prefer-robust-stmts: DETACH has no IF EXISTS\n" + alone(DETACH),
    ),
    "REFRESH MATERIALIZED VIEW": with_rows(
        sql("refresh materialized view account_totals"),
        "refresh-blocks-reads",
        alone("refresh materialized view concurrently account_totals"),
    ),
    "disabling triggers": breaking(
        sql("alter table parcels disable trigger all"),
        "replication-role",
        sql("alter table parcels enable trigger all"),
    ),
    "lock_timeout = 0": breaking(sql("SET lock_timeout = 0"), "sets-timeout", sql("set local lock_timeout = '2s'")),
    "an int column": noted(
        'op.add_column("items", sa.Column("height", sa.Integer()))',
        "prefer-bigint-over-int",
        'op.add_column("items", sa.Column("height", sa.BigInteger()))',
    ),
    "a varchar column": noted(
        'op.add_column("items", sa.Column("origin", sa.String(20)))',
        "prefer-text-field",
        'op.add_column("items", sa.Column("origin", sa.Text()))',
    ),
    "a timestamp without a time zone": noted(
        'op.add_column("items", sa.Column("seen_at", sa.DateTime()))',
        "prefer-timestamp-tz",
        'op.add_column("items", sa.Column("seen_at", sa.DateTime(timezone=True)))',
    ),
    # eugene: E1, E2, E4 to E11, W14 and E15. Not here: E3 (json, above), E9 (the runner sets the time-outs), W12 and
    # W13 (creating an enum), which are style.
    "E1 a new valid constraint": by_rows(
        sql("ALTER TABLE ONLY archive.items ADD CONSTRAINT price_is_low CHECK (price < 1000)"),
        "constraint-missing-not-valid",
        steps(
            'add_check_not_valid("price_is_low", "items", "price < 1000", schema="archive")',
            'validate_constraint("price_is_low", "items", schema="archive")',
        ),
    ),
    "E2 NOT NULL, quoted": by_rows(
        sql('alter table "Invoices" alter "Account" set not null'),
        "adding-not-nullable-field",
        'set_not_null_safely("Invoices", "Account")',
    ),
    "E4 a statement while ACCESS EXCLUSIVE is held": by_rows(
        sql("alter table accounts add column seen boolean", "delete from accounts where code < 0 and name like 'x%'"),
        "work-under-lock",
        steps(sql("alter table accounts add column seen boolean"), sql("delete from accounts where id = 7")),
    ),
    "E5 a type that rewrites": by_rows(
        sql("alter table items alter quantity type text using quantity::text"),
        "changing-column-type",
        sql("alter table items add quantity_text text"),
    ),
    "E6 a unique index": by_rows(
        sql("create unique index on parcels (supplier_id, id)"),
        "require-concurrent-index-creation",
        'create_index_concurrently("parcels_both", "parcels", ["supplier_id", "id"], unique=True)',
    ),
    "E7 UNIQUE in another schema": by_rows(
        sql("alter table archive.items add unique (account_id)"),
        "disallowed-unique-constraint",
        steps(
            'create_index_concurrently("items_account_id_key", "items", ["account_id"], unique=True, schema="archive")',
            'add_key_using_index("items_account_id_key", "items", "items_account_id_key", schema="archive")',
        ),
    ),
    "E8 EXCLUDE with an operator class": by_rows(
        'op.create_exclude_constraint("parcels_excl", "parcels", ("id", "="), using="btree")',
        "adding-exclusion-constraint",
        sql("create table parcels_of_2027 (id bigint, exclude (id with =))"),
    ),
    "E10 rewriting a table under a lock": by_rows(
        alone("vacuum (full, analyze) visits"),
        ("rewrites-table", "concurrently-left-blind"),
        alone("vacuum (analyze) visits"),
    ),
    "E11 serial": by_rows(
        sql("alter table scratch add number serial"), "rewrites-table", sql("alter table scratch add number bigint")
    ),
    "E11 an identity column": by_rows(
        sql("alter table visits add column id bigint generated always as identity"),
        "adding-field-with-default",
        sql("alter table visits add column id bigint"),
    ),
    "W14 a primary key using an index on a nullable column": by_rows(
        steps(
            'create_index_concurrently("visits_account", "visits", ["account_id"], unique=True)',
            'add_key_using_index("visits_pkey", "visits", "visits_account", primary=True)',
        ),
        "key-on-nullable",
        steps(
            'create_index_concurrently("visits_account", "visits", ["account_id"], unique=True)',
            'set_not_null_safely("visits", "account_id")',
            'add_key_using_index("visits_pkey", "visits", "visits_account", primary=True)',
        ),
    ),
    "E15 a foreign key without an index": Danger(
        'add_foreign_key_not_valid("invoices_account_fk", "Invoices", "accounts", ["Account"], ["id"])',
        "foreign-key-without-index",
        "warning",
        None,
        steps(
            'create_index_concurrently("invoices_account", "Invoices", ["Account"])',
            'add_foreign_key_not_valid("invoices_account_fk", "Invoices", "accounts", ["Account"], ["id"])',
        ),
    ),
    # django-pg-zero-downtime-migrations: what it calls unsafe in its table of operations, and DROP COLUMN and the like,
    # which it calls safe because Django's models no longer have them.
    "ADD COLUMN … UNIQUE": by_rows(
        'op.add_column("items", sa.Column("slug", sa.Text(), unique=True))',
        "disallowed-unique-constraint",
        steps(
            'op.add_column("items", sa.Column("slug", sa.Text()))',
            'create_index_concurrently("items_slug_key", "items", ["slug"], unique=True)',
            'add_key_using_index("items_slug_key", "items", "items_slug_key")',
        ),
    ),
    "ADD COLUMN … UNIQUE in its definition": by_rows(
        sql("alter table items add column slug text unique"),
        "disallowed-unique-constraint",
        steps(
            sql("alter table items add column slug text"),
            'create_index_concurrently("items_slug_key", "items", ["slug"], unique=True)',
            'add_key_using_index("items_slug_key", "items", "items_slug_key")',
        ),
    ),
    "ADD COLUMN … PRIMARY KEY": by_rows(
        sql("alter table visits add column id bigserial primary key"),
        ("rewrites-table", "adding-serial-primary-key-field"),
        sql("alter table visits add column id bigint"),
    ),
    "ADD CONSTRAINT … PRIMARY KEY": by_rows(
        'op.create_primary_key("visits_pkey", "visits", ["visit_id"])',
        "adding-serial-primary-key-field",
        'add_key_using_index("visits_pkey", "visits", "visits_id", primary=True)',
    ),
    "ADD COLUMN with a foreign key and a default": by_rows(
        sql("alter table items add column supplier bigint default 1 references suppliers (id)"),
        "adding-foreign-key-constraint",
        steps(
            sql("alter table items add column supplier bigint"),
            'create_index_concurrently("items_supplier", "items", ["supplier"])',
            'add_foreign_key_not_valid("items_supplier_fk", "items", "suppliers", ["supplier"], ["id"])',
            sql("alter table items alter column supplier set default 1"),
        ),
    ),
    "SET TABLESPACE": Danger(
        sql("alter table items set tablespace fast"),
        "rewrites-table",
        "error",
        "warning",
        sql("alter table items set (fillfactor = 90)"),
        refused=True,
    ),
    "another access method": by_rows(
        sql(
            "create access method another type table handler heap_tableam_handler",
            "alter table items set access method another",
        ),
        "rewrites-table",
        sql("create access method another type table handler heap_tableam_handler"),
    ),
    "a shorter varchar": by_rows(
        sql("alter table accounts alter column name type varchar(10)"),
        "changing-column-type",
        steps(
            'add_check_not_valid("accounts_name_length", "accounts", "length(name) <= 10")',
            'validate_constraint("accounts_name_length", "accounts")',
        ),
    ),
    "text to varchar": by_rows(
        'op.alter_column("accounts", "email", existing_type=sa.Text(), type_=sa.String(100))',
        "changing-column-type",
        steps(
            'add_check_not_valid("accounts_email_length", "accounts", "length(email) <= 100")',
            'validate_constraint("accounts_email_length", "accounts")',
        ),
    ),
    "another scale": by_rows(
        'op.alter_column("accounts", "balance", type_=sa.Numeric(12, 4), existing_nullable=True)',
        "changing-column-type",
        'op.add_column("accounts", sa.Column("exact_balance", sa.Numeric(12, 4)))',
    ),
    # Atlas: DS, MF, BC, CD, PG and NM. Not here: MF101 of a table without duplicates does no harm when it is built
    # concurrently, and duplicates are rows; PG110 is the order of columns in a new table; naming beyond the length.
    "DS101 a schema": breaking(
        sql("drop schema shelf cascade"),
        "cascade-drops",
        allowed(sql("drop table shelf.books; drop schema shelf"), "ban-drop-table", "ban-drop-schema"),
    ),
    "DS102 a table of another schema": breaking(
        'op.drop_table("items", schema="archive")',
        "ban-drop-table",
        allowed('op.drop_table("items", schema="archive")', "ban-drop-table"),
    ),
    "DS103 several columns": breaking(
        sql("alter table accounts drop column if exists settings, drop column if exists nothing"),
        "ban-drop-column",
        allowed(sql("alter table accounts drop column if exists settings"), "ban-drop-column"),
    ),
    "MF102 an index to a unique one": by_rows(
        sql("drop index accounts_email", "create unique index accounts_email on accounts (email)"),
        "require-concurrent-index-creation",
        steps(
            'create_index_concurrently("accounts_email_unique", "accounts", ["email"], unique=True)',
            'drop_index_concurrently("accounts_email")',
        ),
    ),
    "MF103 a column that needs a value, in a DO block": refused(
        sql("do $$ begin alter table accounts add column plan text not null; end $$"),
        "adding-required-field",
        sql("do $$ begin alter table accounts add column plan text not null default 'free'; end $$"),
    ),
    "MF104 NOT NULL in a batch": by_rows(
        'with op.batch_alter_table("visits") as batch:\n'
        '    batch.alter_column("account_id", nullable=False)\n'
        '    batch.add_column(sa.Column("note", sa.Text()))',
        "adding-not-nullable-field",
        'set_not_null_safely("visits", "account_id")',
    ),
    "BC101 a table, in other case": breaking(
        sql("ALTER TABLE Public.VISITS RENAME TO calls"),
        "renaming-table",
        sql("create view calls as select * from visits"),
    ),
    "BC102 a column, in a batch": breaking(
        'with op.batch_alter_table("accounts") as batch:\n'
        '    batch.alter_column("settings", new_column_name="options")',
        "renaming-column",
        sql("alter table accounts add column options jsonb"),
    ),
    "CD101 a foreign key, and all that needs the key": breaking(
        sql("alter table suppliers drop constraint suppliers_pkey cascade"),
        ("cascade-drops", "ban-drop-constraint"),
        allowed(sql("alter table parcels drop constraint parcels_supplier_id_fkey"), "ban-drop-constraint"),
    ),
    "PG104 a primary key of two columns": by_rows(
        sql("alter table visits add primary key (visit_id, account_id)"),
        "adding-serial-primary-key-field",
        'add_key_using_index("visits_pkey", "visits", "visits_id", primary=True)',
    ),
    "PG301 several types in one statement": by_rows(
        sql("alter table items alter number type bigint, alter quantity type bigint, add column weight bigint"),
        "changing-column-type",
        sql("alter table items add column weight bigint"),
    ),
    "PG302 a sequence as the default": by_rows(
        sql("alter table items add column ticket bigint default nextval('tickets')"),
        ("adding-field-with-default", "rewrites-table"),
        sql(
            "alter table items add column ticket bigint",
            "alter table items alter ticket set default nextval('tickets')",
        ),
    ),
    "PG304 a primary key on a nullable column": by_rows(
        sql("alter table visits add constraint visits_pkey primary key (account_id)"),
        "adding-serial-primary-key-field",
        steps(
            'create_index_concurrently("visits_account", "visits", ["account_id"], unique=True)',
            'set_not_null_safely("visits", "account_id")',
            'add_key_using_index("visits_pkey", "visits", "visits_account", primary=True)',
        ),
    ),
    "NM103 a name that PostgreSQL cuts": warned(
        f'op.execute("alter table items add column {"x" * 64} text")',
        "identifier-too-long",
        f'op.add_column("items", sa.Column("{"x" * 63}", sa.Text()))',
    ),
    # What none of these lists has, or only in part.
    "a check in the definition of a column": by_rows(
        'op.add_column("items", sa.Column("discount", sa.Numeric(), sa.CheckConstraint("discount >= 0")))\n'
        + sql("alter table items add column rebate numeric check (rebate >= 0)"),
        "adding-checked-column",
        'op.add_column("items", sa.Column("rebate", sa.Numeric()))\n'
        'add_check_not_valid("items_rebate_check", "items", "rebate >= 0")',
    ),
    "a column of a domain with a constraint": by_rows(
        sql("alter table items add column rank positive"),
        "rewrites-table",
        sql("alter table items add column rank integer")
        + '\nadd_check_not_valid("items_rank_check", "items", "rank > 0")',
    ),
    "a constraint of a domain": by_rows(
        sql("alter domain grade add constraint grade_check check (value > 0)"),
        "domain-constraint-scan",
        sql("alter domain grade add constraint grade_check check (value > 0) not valid"),
    ),
    "NOT NULL of a domain": by_rows(
        sql("alter domain kilos set not null"),
        "domain-constraint-scan",
        steps(
            'add_check_not_valid("parcels_weight_check", "parcels", "weight is not null")',
            'validate_constraint("parcels_weight_check", "parcels")',
        ),
    ),
    "a partition beside a default one": with_rows(
        sql("create table journal_2027 partition of journal for values from ('2027-01-01') to ('2028-01-01')"),
        "attach-partition-scan",
        steps(
            'add_check_not_valid("journal_default_before_2027", "journal_default", "at < timestamptz \'2027-01-01\'")',
            'validate_constraint("journal_default_before_2027", "journal_default")',
            sql("create table journal_2027 partition of journal for values from ('2027-01-01') to ('2028-01-01')"),
        ),
    ),
    "an index of a partitioned table": by_rows(
        'op.create_index("events_item", "events", ["item_id"])', "require-concurrent-index-creation", EACH_PARTITION
    ),
    "CONCURRENTLY on a partitioned table": refused(
        'create_index_concurrently("events_item", "events", ["item_id"])', "partitioned-needs-parts", EACH_PARTITION
    ),
    "a valid foreign key of a partitioned table": by_rows(
        'op.create_foreign_key("events_item_fk", "events", "items", ["item_id"], ["id"])',
        ("adding-foreign-key-constraint", "partitioned-needs-parts"),
        steps(
            'create_index_concurrently("events_2026_item", "events_2026", ["item_id"])',
            'add_foreign_key_not_valid("events_2026_item_fk", "events_2026", "items", ["item_id"], ["id"])',
            'validate_constraint("events_2026_item_fk", "events_2026")',
        ),
    ),
    "DROP INDEX CONCURRENTLY in a transaction": refused(
        'op.drop_index("items_name", "items", postgresql_concurrently=True)',
        "not-in-transaction",
        'drop_index_concurrently("items_name")',
    ),
    "REINDEX CONCURRENTLY in a transaction": refused(
        sql("reindex table concurrently items"), "not-in-transaction", alone("reindex table concurrently items")
    ),
    "DETACH CONCURRENTLY in a transaction": refused(
        sql(DETACH),
        "not-in-transaction",
        "# lint-allow prefer-robust-stmts: DETACH has no IF EXISTS\n" + alone(DETACH),
    ),
    "VACUUM in a transaction": refused(sql("vacuum items"), "not-in-transaction", alone("vacuum items")),
    "CREATE DATABASE in a transaction": refused(
        sql("create database reports"), "not-in-transaction", sql("create schema reports")
    ),
    "ALTER SYSTEM in a transaction": refused(
        sql("alter system set work_mem = '64MB'"),
        "not-in-transaction",
        sql("alter function rank_of(bigint) set work_mem = '64MB'"),
    ),
    "a value of an enum used where it is added": refused(
        sql("alter type mood add value 'lost'", "update items set mood = 'lost' where id = 7"),
        "enum-value-used",
        steps(
            sql("alter type mood add value 'lost' after 'old'"),
            sql("update items set mood = 'lost' where id = 7"),
        ),
    ),
    "a value of an enum made the default where it is added": refused(
        sql("alter type mood add value 'lost'", "alter table items alter mood set default 'lost'"),
        "enum-value-used",
        steps(
            sql("alter type mood add value 'lost' after 'old'"),
            sql("alter table items alter mood set default 'lost'"),
        ),
    ),
    "a table and all that needs it": breaking(
        sql("drop table letters cascade"),
        "cascade-drops",
        allowed(sql("drop view letter_writers, letter_owners; drop table letters"), "ban-drop-view", "ban-drop-table"),
    ),
    "a column and the views that have it": breaking(
        sql("alter table letters drop column owner cascade"),
        "cascade-drops",
        allowed('op.drop_column("letters", "body")', "ban-drop-column"),
    ),
    "a view and the view of it": breaking(
        sql("drop view cheap_items cascade"),
        "cascade-drops",
        allowed(sql("drop view cheapest_items; drop view cheap_items"), "ban-drop-view"),
    ),
    "a type and the columns of it": breaking(
        sql("drop type mood cascade"),
        "cascade-drops",
        allowed(sql("drop type colour"), "ban-drop-type"),
    ),
    "a function and the trigger that calls it": breaking(
        sql("drop function weigh() cascade"),
        "cascade-drops",
        allowed(sql("drop trigger parcels_weigh on parcels; drop function weigh()"), "ban-drop-function"),
    ),
    "a domain and the columns of it": breaking(
        sql("drop domain if exists grade cascade"),
        "cascade-drops",
        allowed(sql("drop domain positive"), "ban-drop-domain"),
    ),
    "dropping a type": breaking(
        sql("drop type colour"),
        "ban-drop-type",
        allowed(sql("drop type colour"), "ban-drop-type"),
    ),
    "dropping a domain": breaking(
        sql("drop domain positive"), "ban-drop-domain", allowed(sql("drop domain positive"), "ban-drop-domain")
    ),
    "dropping a view": breaking(
        sql("drop view cheapest_items"),
        "ban-drop-view",
        sql("drop view cheapest_items", "create view cheapest_items as select id, name from cheap_items"),
    ),
    "dropping a function": breaking(
        sql("drop function if exists rank_of(bigint)"),
        "ban-drop-function",
        sql(
            "drop function if exists rank_of(bigint)",
            "create function rank_of(n bigint) returns bigint language sql stable as 'select n + 1'",
        ),
    ),
    "dropping an extension": breaking(
        sql("drop extension pg_trgm"),
        "ban-drop-extension",
        allowed(sql("drop extension pg_trgm"), "ban-drop-extension"),
    ),
    "dropping a check": noted(
        sql("alter table items drop constraint items_price_check"),
        "ban-drop-constraint",
        allowed(sql("alter table items drop constraint items_price_check"), "ban-drop-constraint"),
    ),
    "dropping a unique key, which ON CONFLICT needs": breaking(
        sql("alter table parcels drop constraint parcels_reference_key"),
        "ban-drop-constraint",
        allowed(sql("alter table parcels drop constraint parcels_reference_key"), "ban-drop-constraint"),
    ),
    "dropping an identity": breaking(
        sql("alter table items alter column id drop identity"),
        "ban-alter-identity",
        sql("alter table items alter column id set generated by default"),
    ),
    "dropping NOT NULL": warned(
        'op.alter_column("items", "code", nullable=True)',
        "ban-drop-not-null",
        'op.alter_column("items", "code", server_default="0")',
    ),
    "renaming a type": breaking(
        sql("alter type colour rename to shade"),
        "renaming-object",
        sql("create type shade as enum ('red', 'green')"),
    ),
    "renaming a value of an enum": breaking(
        sql("alter type mood rename value 'old' to 'used'"),
        "renaming-object",
        sql("alter type mood add value 'used' after 'old'"),
    ),
    "renaming a view": breaking(
        sql("alter view cheapest_items rename to bargains"),
        "renaming-object",
        sql("create view bargains as select * from cheapest_items"),
    ),
    "renaming a function": breaking(
        sql("alter function rank_of(bigint) rename to position_of"),
        "renaming-object",
        sql("create function position_of(n bigint) returns bigint language sql immutable as 'select n'"),
    ),
    "moving a table to another schema": breaking(
        sql("alter table visits set schema archive"),
        "ban-set-schema",
        sql("create view archive.visits as select * from visits"),
    ),
    "moving a type to another schema": breaking(
        sql("alter type colour set schema archive"),
        "ban-set-schema",
        sql("create type archive.colour as enum ('red', 'green')"),
    ),
    "session_replication_role": breaking(
        sql("set session_replication_role = replica"), "replication-role", sql("set local work_mem = '64MB'")
    ),
    "session_replication_role by set_config, in a DO block": breaking(
        sql("do $$ begin perform set_config('session_replication_role', 'replica', true); end $$"),
        "replication-role",
        sql("do $$ begin perform set_config('work_mem', '64MB', true); end $$"),
    ),
    "statement_timeout = 0 for the transaction": breaking(
        sql("set local statement_timeout to '0s'"), "sets-timeout", sql("set local statement_timeout to '30s'")
    ),
    "lock_timeout by set_config": breaking(
        sql("select set_config('lock_timeout', '0', false)"),
        "sets-timeout",
        sql("select set_config('lock_timeout', '2s', true)"),
    ),
    "statement_timeout in a DO block": breaking(
        sql("do $$ begin set local statement_timeout = 0; end $$"),
        "sets-timeout",
        sql("do $$ begin set local statement_timeout = '30s'; end $$"),
    ),
    "lock_timeout of a function made here": breaking(
        sql(
            "create function patient() returns int language sql set lock_timeout = 0 as 'select 1'",
            "select patient()",
        ),
        "sets-timeout",
        sql("create function patient() returns int language sql as 'select 1'", "select patient()"),
    ),
    "LOCK TABLE in share mode": by_rows(
        sql("lock table items in share row exclusive mode", "select count(*) from items"),
        ("lock-table", "work-under-lock"),
        sql("select count(*) from items"),
    ),
    "LOCK TABLE in an autocommit block": refused(
        alone("lock table items"), ("lock-table", "concurrently-left-blind", "not-in-transaction"), sql("select 1")
    ),
    "REFRESH in an autocommit block": with_rows(
        alone("refresh materialized view account_totals"),
        ("refresh-blocks-reads", "concurrently-left-blind"),
        alone("refresh materialized view concurrently account_totals"),
    ),
    "a trigger and a backfill": by_rows(
        sql(
            "create trigger visits_touch before update on visits for each row execute function touch()",
            "update visits set account_id = account_id where visit_id % 2 = 0",
        ),
        "work-under-lock",
        steps(
            sql("create trigger visits_touch before update on visits for each row execute function touch()"),
            sql("update visits set account_id = account_id where visit_id between 1 and 500"),
        ),
    ),
    "a refresh after ALTER TABLE": by_rows(
        sql("alter table items add column seen boolean", "refresh materialized view concurrently account_totals"),
        "work-under-lock",
        steps(
            sql("alter table items add column seen boolean"),
            alone("refresh materialized view concurrently account_totals"),
        ),
    ),
    "an update that is true for all": written(sql("update items set quantity = 2 where 1 = 1"), ONE_BATCH),
    "an update of some of many": written(
        sql("update items set note = 'cheap' where price < 50 and note is null"), ONE_BATCH, "warning"
    ),
    "a delete of all": written(
        'op.execute(sa.table("visits").delete())', sql("delete from visits where visit_id between 1 and 500")
    ),
    "a delete of all, in WITH": written(
        sql("with gone as (delete from scratch returning *) select count(*) from gone"),
        sql("with gone as (delete from items where id between 1 and 10 returning *) select count(*) from gone"),
    ),
    "a delete of all, in a DO block": written(
        sql("do $$ begin delete from letters; end $$"),
        sql("do $$ begin delete from letters where id = 7; end $$"),
    ),
    "MERGE": written(
        sql(
            "merge into archive.items a using items i on a.id = i.id when matched then update set price = i.price "
            "when not matched then insert (id, account_id, price) values (i.id, i.account_id, i.price)"
        ),
        sql(
            "merge into archive.items a using (select * from items where id between 1 and 500) i on a.id = i.id "
            "and a.id between 1 and 500 when matched then update set price = i.price"
        ),
        "warning",
    ),
    "another collation, which builds the indexes again": by_rows(
        sql('alter table accounts alter column email type text collate "C"'),
        "changing-column-type",
        'create_index_concurrently("accounts_email_c", "accounts", [sa.text(\'email collate "C"\')])',
    ),
    "an enum to text": by_rows(
        'op.alter_column("visits", "mood", type_=sa.Text(), postgresql_using="mood::text")',
        "changing-column-type",
        'op.add_column("visits", sa.Column("mood_text", sa.Text()))',
    ),
    "all by ONLY and IF EXISTS": by_rows(
        sql("alter table if exists only items alter column quantity set not null"),
        "adding-not-nullable-field",
        'set_not_null_safely("items", "quantity")',
    ),
    "several statements in one text": by_rows(
        sql("select 1; /* then */ create index items_quantity on items (quantity); select 2"),
        "require-concurrent-index-creation",
        'create_index_concurrently("items_quantity", "items", ["quantity"])',
    ),
    "a transaction of its own": breaking(sql("begin"), "transaction-nesting", sql("select 1")),
    "a mistake": refused(sql("alter tabel items add x int"), "syntax-error", sql("alter table items add x bigint")),
}
