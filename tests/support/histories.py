"""Histories as old projects have them, to be planned from nothing: whatever they alter, they have made themselves.

Each is a list of bodies of `upgrade()`, in their order.
"""

from itertools import pairwise

from support.dangers import sql
from support.project import Project

TABLES = ("users", "teams", "projects", "tickets", "comments", "labels", "invoices", "files")
# Asks the database, so that its SQL is not known beforehand.
ASKING = """
rows = op.get_bind().execute(sa.text("select id, {column} from {table} where {column} is not null")).fetchall()
for row in rows:
    op.get_bind().execute(sa.text("update {table} set {column} = :new where id = :id"), {{"new": row[1], "id": row[0]}})
"""


def write(found: Project, history: list[str]) -> list[str]:
    """Write a history into a project without revisions, and return the names of its revisions."""
    names: list[str] = []
    for number, body in enumerate(history, 1):
        names.append(f"{number:03d}_old")
        found.add(names[-1], body, after=names[-2] if number > 1 else None)
    return names


def generated() -> list[str]:
    """Return a history as `alembic revision --autogenerate` writes it: 54 revisions."""
    made = [
        f'op.create_table("{name}",\n'
        '    sa.Column("id", sa.Integer(), nullable=False),\n'
        '    sa.Column("name", sa.String(length=50), nullable=True),\n'
        '    sa.Column("created_at", sa.DateTime(), nullable=True),\n'
        f'    sa.Column("state", sa.Enum("new", "open", "done", name="{name}_state"), nullable=True),\n'
        '    sa.Column("amount", sa.Float(), nullable=True),\n'
        '    sa.PrimaryKeyConstraint("id"))\n'
        f'op.create_index(op.f("ix_{name}_name"), "{name}", ["name"], unique=False)'
        for name in TABLES
    ]
    linked = [
        f'op.add_column("{name}", sa.Column("{to[:-1]}_id", sa.Integer(), nullable=True))\n'
        f'op.create_foreign_key(None, "{name}", "{to}", ["{to[:-1]}_id"], ["id"])\n'
        f'op.create_index(op.f("ix_{name}_{to[:-1]}_id"), "{name}", ["{to[:-1]}_id"])'
        for name, to in zip(TABLES[1:], TABLES, strict=False)
    ]
    tightened = [
        f"op.execute(\"update {name} set name = '' where name is null\")\n"
        f'op.alter_column("{name}", "name", existing_type=sa.String(length=50), nullable=False)\n'
        f'op.create_unique_constraint("{name}_name_key", "{name}", ["name"])'
        for name in TABLES
    ]
    enums = [
        f'op.execute("alter type {name}_state rename to {name}_state_old")\n'
        f"op.execute(\"create type {name}_state as enum ('new', 'open', 'closed')\")\n"
        f'op.alter_column("{name}", "state", type_=sa.Enum("new", "open", "closed", name="{name}_state"),\n'
        f"    postgresql_using=\"case state::text when 'done' then 'closed' else state::text end::{name}_state\")\n"
        f'op.execute("drop type {name}_state_old")'
        for name in TABLES
    ]
    retyped = [
        f'with op.batch_alter_table("{name}") as batch:\n'
        '    batch.alter_column("amount", type_=sa.Numeric(10, 2), existing_type=sa.Float())\n'
        '    batch.alter_column("created_at", type_=sa.DateTime(timezone=True))\n'
        '    batch.add_column(sa.Column("deleted", sa.Boolean(), nullable=False))'
        for name in TABLES
    ]
    asked = [ASKING.format(table=name, column="amount") for name in TABLES[:3]]
    asked.append(
        ASKING.format(table="teams", column="name")
        + 'op.create_table("reports", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.Text()))'
    )
    asked.append(
        'op.create_index("ix_reports_name", "reports", ["name"])\nop.alter_column("reports", "name", nullable=False)\n'
        'op.add_column("reports", sa.Column("team_id", sa.Integer(), sa.ForeignKey("teams.id"), nullable=False))'
    )
    renamed = [
        'op.rename_table("tickets", "issues")',
        'op.create_index("ix_issues_amount", "issues", ["amount"])\nop.drop_index("ix_tickets_name", "issues")',
        'op.alter_column("issues", "name", new_column_name="title", nullable=True)',
        'op.drop_constraint("tickets_name_key", "issues", type_="unique")\nop.drop_column("issues", "deleted")',
        'op.execute("delete from comments")\nop.execute("alter sequence tickets_id_seq rename to issues_id_seq")',
        'op.add_column("issues", sa.Column("key", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))\n'
        'op.execute("update issues set key = gen_random_uuid()")\nop.alter_column("issues", "key", nullable=False)',
        'op.drop_table("files")\nop.execute("drop type files_state")',
        'op.create_exclude_constraint("labels_excl", "labels", ("name", "="), using="btree")',
        'op.alter_column("users", "id", type_=sa.BigInteger())',
        'op.create_check_constraint("invoices_amount", "invoices", "amount >= 0")',
    ]
    return [*made, *linked, *tightened, *enums, *retyped, *asked, *renamed]


def dumped() -> list[str]:
    """Return a history that begins with the text of `pg_dump`: 36 revisions."""
    tables = "\n".join(
        f"""
        create table public.{name} (
            id integer not null, name character varying(100), body text, at timestamp without time zone default now());
        alter table only public.{name} replica identity default;
        create sequence public.{name}_id_seq as integer start with 1 increment by 1 no minvalue no maxvalue cache 1;
        alter sequence public.{name}_id_seq owned by public.{name}.id;
        alter table only public.{name} alter column id set default nextval('public.{name}_id_seq'::regclass);
        select pg_catalog.setval('public.{name}_id_seq', 1, true);
        alter table only public.{name} add constraint {name}_pkey primary key (id);
        create index {name}_name_idx on public.{name} using btree (name);
        alter table public.{name} enable row level security;
        create policy everybody on public.{name} using (true);
        """
        for name in TABLES
    )
    keys = "\n".join(
        f"alter table only public.{name} add column of integer;\n"
        f"alter table only public.{name} add constraint {name}_fk foreign key (of) references public.users(id);"
        for name in TABLES[1:]
    )
    baseline = f"""
        set statement_timeout = '30min'; set client_encoding = 'UTF8'; set check_function_bodies = false;
        create type public.role as enum ('reader', 'writer');
        create domain public.address as text constraint address_check check (value ~ '@');
        create function public.stamp() returns trigger language plpgsql as $$ begin new.at := now(); return new; end $$;
        {tables}
        {keys}
        alter table public.users add column role public.role default 'reader';
        alter table public.users add column address public.address;
        create view public.writers as select id, name from public.users where role = 'writer';
        create trigger users_stamp before update on public.users for each row execute function public.stamp();
        alter table public.users cluster on users_pkey;
    """
    later = [
        sql("alter type role rename value 'reader' to 'guest'"),
        sql("drop view writers cascade", "alter table users drop column role", "drop type role"),
        sql("alter domain address drop constraint address_check", "alter domain address add check (value <> '')"),
        sql("alter table users alter address set not null", "create unique index on users (address)"),
        sql("truncate comments", "alter table comments alter id type bigint", "cluster users"),
        sql("alter table tickets rename to issues", "alter table issues rename constraint tickets_pkey to issues_pkey"),
        sql("do $$ begin update issues set name = 'x'; delete from labels; end $$"),
        sql(
            "do $$ declare one text; begin for one in select unnest(array['issues', 'labels']) loop "
            "execute format('alter table %I add column extra text', one); end loop; end $$"
        ),
        sql("create schema archive"),
        sql("alter table labels set schema archive", "alter table archive.labels drop column body cascade"),
        sql("drop policy everybody on issues", "alter table issues disable row level security"),
        sql("lock table issues in exclusive mode", "update issues set name = upper(name)"),
        sql("alter table users disable trigger users_stamp", "update users set body = ''"),
        sql("drop function stamp() cascade"),
        sql("alter table invoices alter at type timestamptz using at at time zone 'UTC'"),
        "\n".join(
            (
                "count = op.get_bind().scalar(sa.text('select count(*) from invoices'))",
                "if count:",
                "    op.execute('update invoices set body = null')",
            )
        ),
        sql(
            "alter table invoices drop constraint invoices_fk",
            "alter table invoices add foreign key (of) references users",
        ),
        sql("alter sequence invoices_id_seq as bigint", "alter table invoices alter id type bigint"),
        sql("alter table invoices add column number serial", "alter table invoices set unlogged"),
        sql("alter table invoices set logged", "reindex table invoices"),
    ]
    columns = [
        f'op.add_column("{name}", sa.Column("flag", sa.Boolean(), server_default=sa.false(), nullable=False))\n'
        f'op.alter_column("{name}", "flag", server_default=None)\n'
        + sql(f"update {name} set flag = true where name like 'a%'", f"alter table {name} alter flag drop not null")
        for name in ("users", "teams", "projects", "comments", "invoices", "files")
    ]
    ends = [
        f'op.drop_column("{name}", "body")\n' + sql(f'alter table {name} rename at to "createdAt"')
        for name in ("teams", "projects", "comments", "files")
    ]
    last = [
        'op.drop_table("files")',
        "\n".join(
            (
                "for table in sa.inspect(op.get_bind()).get_table_names():",
                "    if table != 'alembic_version':",
                "        op.add_column(table, sa.Column('audited', sa.Boolean()))",
            )
        ),
        sql("create index on comments (audited)", "alter table comments alter audited set not null"),
        sql("drop schema archive cascade"),
        sql("drop table issues cascade"),
    ]
    return [sql(baseline), *later, *columns, *ends, *last]


def handwritten() -> list[str]:
    """Return a history of SQL by hand, with partitions, views and jobs that move rows: 40 revisions."""
    months = [f"2026-{month:02d}-01" for month in range(1, 13)] + ["2027-01-01"]
    parts = [
        sql(
            f"create table facts_{number:02d} (like facts including all)",
            f"insert into facts_{number:02d} (at, kind, amount) select timestamptz '{start}' + n * interval '1 hour', "
            "'k', n from generate_series(1, 100) n",
            f"alter table facts attach partition facts_{number:02d} for values from ('{start}') to ('{end}')",
        )
        for number, (start, end) in enumerate(pairwise(months), 1)
    ]
    begin = [
        sql(
            "create schema stage",
            "create table stage.raw (id serial primary key, line text, kind text)",
            "create table facts (id bigserial, at timestamptz not null, kind text, amount numeric(10, 2)) "
            "partition by range (at)",
            "create table kinds (name text primary key, title varchar(20))",
        ),
        sql("insert into stage.raw (line, kind) select 'l' || n, 'k' from generate_series(1, 1000) n"),
        sql("insert into kinds (name) select distinct kind from stage.raw"),
        sql("alter table stage.raw add constraint raw_kind foreign key (kind) references kinds"),
    ]
    middle = [
        sql("create index on facts (kind)"),
        sql(
            "insert into kinds (name) values ('k') on conflict do nothing",
            "alter table facts add foreign key (kind) references kinds",
        ),
        sql("alter table facts detach partition facts_12", "drop table facts_12"),
        sql("create materialized view totals as select kind, sum(amount) as total from facts group by kind"),
        sql("alter table kinds add column weight integer default 1", "refresh materialized view totals"),
        sql("create view heavy as select * from kinds where weight > 5", "create view heavier as select * from heavy"),
        sql("drop view heavy cascade", "alter table kinds alter weight type bigint"),
        sql("update facts set amount = amount * 2", "delete from stage.raw"),
        sql(
            "with moved as (delete from facts where kind is null returning *) insert into stage.raw (line) "
            "select kind from moved"
        ),
        sql("alter table stage.raw rename to lines"),
        sql("alter table stage.lines rename column line to text", "create index on stage.lines (text)"),
        sql("alter table stage.lines alter text type varchar(50)", "alter table stage.lines add unique (text, id)"),
        sql("drop materialized view totals", "alter table facts drop column amount"),
        sql("alter table facts rename to measures"),
        sql("create unique index on measures (id, at)", "alter table measures alter kind set not null"),
        sql("create type unit as enum ('m', 'kg')", "alter table kinds add column unit unit not null default 'm'"),
        sql("alter table kinds alter unit drop default", "alter table kinds alter unit type text", "drop type unit"),
        sql("create function weight_of(kinds) returns bigint language sql stable as 'select $1.weight'"),
        sql("drop function weight_of(kinds)", "alter table kinds drop column weight"),
        sql("alter table kinds enable row level security"),
        sql("merge into kinds k using stage.lines l on k.name = l.text when matched then update set title = 'x'"),
        'found = op.get_bind().execute(sa.text("select name from kinds"))\n'
        'for one in found:\n    op.get_bind().execute(sa.text("update kinds set title = name"))\n'
        'op.execute("alter table kinds rename to sorts")',
        sql("create index on sorts (title)"),
        sql("truncate stage.lines cascade", "drop schema stage cascade"),
    ]
    return [*begin, *parts, *middle]
