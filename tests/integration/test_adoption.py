"""A database from before: the old runner made some tables, without version tracking."""

from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path

import pytest

from runner.schema import catalog
from support import postgres
from support.postgres import Database, read_catalog
from support.project import Project

# as the old runner's loose SQL file had it
DRY_RUN_LOG = """
    create table dry_run_log (
        log_id uuid primary key default gen_random_uuid(),
        tenant_id uuid not null,
        lead_id uuid,
        lead_nome varchar(500),
        lead_telefone varchar(50),
        lead_email varchar(255),
        lead_documento varchar(20),
        canal_decidido varchar(20) not null check (canal_decidido in ('whatsapp', 'email', 'calendar', 'none')),
        motivo_decisao text not null,
        template_selecionado varchar(100),
        disparo_seria_executado boolean default true,
        razao_bloqueio text,
        ambiente varchar(10) default 'dev',
        feature_flag_enabled boolean default false,
        created_at timestamp default now()
    );
    insert into dry_run_log (tenant_id, canal_decidido, motivo_decisao)
    select gen_random_uuid(), 'whatsapp', 'linha ' || n from generate_series(1, 3) n;
"""
INDEXES = (
    "create index idx_dry_run_tenant on dry_run_log (tenant_id, created_at desc);",
    "create index idx_dry_run_canal on dry_run_log (canal_decidido);",
    "create index idx_dry_run_ambiente on dry_run_log (ambiente, created_at desc);",
)
COMMENTS = (
    "comment on table dry_run_log is 'antigo';",
    "comment on column dry_run_log.canal_decidido is 'antigo';",
    "comment on column dry_run_log.motivo_decisao is 'antigo';",
    "comment on column dry_run_log.disparo_seria_executado is 'antigo';",
    "comment on column dry_run_log.razao_bloqueio is 'antigo';",
    "comment on column dry_run_log.feature_flag_enabled is 'antigo';",
)
ROWS = "select motivo_decisao, canal_decidido, ambiente, created_at is not null from dry_run_log order by 1"


Subsets = Callable[[tuple[str, ...]], list[tuple[str, ...]]]


def subsets(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(parts, size) for size in range(len(parts) + 1)))


def outermost(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return none, each alone, all but each, and all."""
    return [some for some in subsets(parts) if min(len(some), len(parts) - len(some)) <= 1]


def ends(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(), parts]


# each comment's own presence matters once without an index and once with all; `make test-long` tries all with all
EACH = [pytest.param(some, outermost if some in ends(INDEXES) else ends) for some in subsets(INDEXES)]
ANY = [pytest.param(some, subsets, marks=pytest.mark.long) for some in subsets(INDEXES)]


@pytest.fixture
def fresh(project: Project) -> catalog.Catalog:
    return project.snapshot("017_dry_run_log")


@pytest.mark.parametrize(
    ("indexes", "some"),
    [*EACH, *ANY],
    ids=lambda one: f"{len(one)}-indexes" if isinstance(one, tuple) else one.__name__,
)
def test_dry_run_log_is_kept_and_completed(
    project: Project, database: Database, fresh: catalog.Catalog, indexes: tuple[str, ...], some: Subsets
) -> None:
    """With any subset of its indexes and comments the table keeps its rows and ends as a fresh one."""
    with postgres.connect(database).execution_options(isolation_level="AUTOCOMMIT") as connection:
        for comments in some(COMMENTS):
            connection.exec_driver_sql("drop schema if exists runner, public cascade; create schema public")
            connection.exec_driver_sql(DRY_RUN_LOG + "".join(indexes) + "".join(comments))
            rows = connection.exec_driver_sql(ROWS).all()
            assert len(rows) == 3
            answer = project.ask(database.url, {"action": "upgrade"})
            assert answer["status"] == "success", answer["message"]
            assert [one["adopted"] for one in answer["applied"]] == [[], ["public.dry_run_log"]]
            assert connection.exec_driver_sql(ROWS).all() == rows
            assert catalog.read(connection) == fresh


def test_defaults_constraints_and_not_null_are_completed(
    project: Project, database: Database, fresh: catalog.Catalog
) -> None:
    """What can be given to a table with rows is given, and a constraint under another name is renamed."""
    database.execute(DRY_RUN_LOG)
    database.execute("""
        alter table dry_run_log alter log_id set default md5('100%')::uuid, alter ambiente drop default,
            alter lead_nome set default 'ninguém', alter motivo_decisao drop not null, alter lead_id drop not null;
        alter table dry_run_log rename constraint dry_run_log_pkey to pk_antiga;
        alter table dry_run_log drop constraint dry_run_log_canal_decidido_check;
    """)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]
    assert read_catalog(database) == fresh
    assert database.query("select count(*) from dry_run_log") == [(3,)]


def test_more_columns_than_ours_are_kept(project: Project, database: Database, fresh: catalog.Catalog) -> None:
    """`leads` and `tenants` may have grown columns, an index and a comment of their own."""
    project.ask(database.url, {"action": "upgrade", "target": "016"})
    database.execute("""
        alter table leads add column origem text default 'site', add column score integer not null default 5;
        alter table tenants add column plano varchar(20);
        create index leads_origem on leads (origem);
        comment on column leads.origem is 'de onde veio';
        insert into tenants (company_name, plano) values ('Alquimista', 'ouro');
        insert into leads (tenant_id, nome, origem) select tenant_id, 'Ana', 'feira' from tenants;
        drop table alembic_version, disparos, agendamentos, blocklist, lead_emails, lead_telefones;
        drop schema runner cascade;
    """)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]
    assert answer["applied"][0]["adopted"] == ["public.leads", "public.tenants"]
    assert database.query(
        "select nome, origem, score, company_name, plano from leads join tenants using (tenant_id)"
    ) == [("Ana", "feira", 5, "Alquimista", "ouro")]
    tables = read_catalog(database)["tables"]
    assert tables["public.leads"]["comments"].pop("origem") == "de onde veio"
    assert tables["public.leads"]["indexes"] == {
        "leads_origem": "CREATE INDEX leads_origem ON public.leads USING btree (origem)"
    }
    assert tables["public.leads"]["columns"].keys() - fresh["tables"]["public.leads"]["columns"].keys() == {
        "origem",
        "score",
    }
    for name in fresh["tables"].keys() - {"public.leads", "public.tenants"}:
        assert tables[name] == fresh["tables"][name]


WRONG = [
    (
        "alter table dry_run_log alter lead_nome type text",
        "`public.dry_run_log.lead_nome` (columns): expected `character varying(500)`, found `text`",
    ),
    (
        "alter table dry_run_log drop column lead_email",
        "`public.dry_run_log.lead_email` (columns): expected `character varying(255)`, found none",
    ),
    (
        "alter table dry_run_log alter created_at type timestamptz",
        "`public.dry_run_log.created_at` (columns): expected `timestamp without time zone`, "
        "found `timestamp with time zone`",
    ),
    (
        "create index idx_dry_run_canal on dry_run_log (ambiente)",
        "`public.dry_run_log.idx_dry_run_canal` (indexes): expected "
        "`CREATE INDEX idx_dry_run_canal ON public.dry_run_log USING btree (canal_decidido)`, found "
        "`CREATE INDEX idx_dry_run_canal ON public.dry_run_log USING btree (ambiente)`",
    ),
]


@pytest.mark.parametrize(("change", "difference"), WRONG, ids=[change.split()[4] for change, _ in WRONG])
def test_a_different_table_is_refused_and_nothing_touched(
    project: Project, database: Database, change: str, difference: str
) -> None:
    """The differences are listed; not even the version table or the ledger is made."""
    database.execute(DRY_RUN_LOG + change)
    before, rows = read_catalog(database), database.query("select * from dry_run_log order by 1")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["code"] == "unversioned-database"
    assert answer["differences"] == [difference]
    assert answer["message"] == (
        f"unversioned-database: `{database.name}` already has tables that the pending revisions create, and they "
        f"differ in 1 place: {difference}. Nothing was changed. Alter the tables to match the revisions, or "
        "move them to another schema, then run the same command again."
    )
    assert read_catalog(database) == before
    assert database.query("select * from dry_run_log order by 1") == rows
    assert database.query("select to_regclass('alembic_version'), to_regnamespace('runner')") == [(None, None)]


def test_all_differences_are_listed_at_once(project: Project, database: Database) -> None:
    """Tables of several pending revisions are compared before the first one runs."""
    database.execute(DRY_RUN_LOG + "alter table dry_run_log alter ambiente type text")
    database.execute("create table leads (lead_id integer)")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["code"] == "unversioned-database"
    assert len(answer["differences"]) == 15
    assert answer["differences"][-1].startswith("`public.dry_run_log.ambiente`")
    plain = project.run("alembic", "upgrade", "head", url=database.url)
    assert "FAILED: unversioned-database" in plain.stderr + plain.stdout
    assert "Traceback" not in plain.stderr


def test_rows_that_do_not_fit_roll_the_revision_back(project: Project, database: Database) -> None:
    """Completing NOT NULL over a row without a value fails as a whole, and says on which column."""
    database.execute(DRY_RUN_LOG)
    database.execute(
        "alter table dry_run_log alter motivo_decisao drop not null; update dry_run_log set motivo_decisao = null"
    )
    before = read_catalog(database)
    answer = project.ask(database.url, {"action": "upgrade", "target": "017"})
    assert (answer["code"], answer["revision"], answer["to"]) == (
        "revision-failed",
        "017_dry_run_log",
        "016_platform_baseline",
    )
    assert "NotNullViolation (23502) on column `motivo_decisao` of table `dry_run_log`" in answer["error"]
    assert read_catalog(database)["tables"]["public.dry_run_log"] == before["tables"]["public.dry_run_log"]


def test_without_a_snapshot_an_existing_table_is_an_ordinary_failure(project: Project, database: Database) -> None:
    """A revision that nobody snapshotted adopts nothing; PostgreSQL says what is in the way."""
    project.add("018_notes", "op.create_table('notes', sa.Column('note', sa.Text()))")
    database.execute("create table notes (note text)")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "42P07")
    assert answer["to"] == "017_dry_run_log"


def test_stamp_adopts_what_is_there_and_refuses_what_is_not(project: Project, database: Database) -> None:
    """Stamping is a claim about the schema, and the schema is asked."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute("drop table alembic_version")
    database.execute("alter table leads drop column nome")
    refused = project.ask(database.url, {"action": "stamp", "target": "017"})
    assert refused["message"] == (
        f"drift: `{database.name}` differs from the snapshot of `017_dry_run_log` in 1 place: `public.leads.nome` "
        "(columns): expected `character varying(500)`, found none. Nothing was changed. Correct the differences, "
        "accept them in `alembic/accepted_drift.toml`, or stamp the revision whose schema the database has."
    )
    assert database.query("select to_regclass('alembic_version')") == [(None,)]
    database.execute("alter table leads add column nome varchar(500)")
    too_low = project.ask(database.url, {"action": "stamp", "target": "016"})
    assert too_low["differences"] == ["`public.dry_run_log` (tables): expected none, found a table"]
    stamped = project.ask(database.url, {"action": "stamp", "target": "017"})
    assert stamped["message"].startswith("From `base` to `017_dry_run_log`: 1 revision stamped in")
    assert project.ask(database.url, {"action": "current"})["current"] == ["017_dry_run_log"]
    assert database.query("select revision, direction from runner.migration_log order by log_id desc limit 1") == [
        ("017_dry_run_log", "stamp")
    ]


def test_a_snapshot_that_is_missing_cannot_be_stamped(project: Project, database: Database) -> None:
    Path(project.folder / "alembic" / "schema" / "017_dry_run_log.json").unlink()
    answer = project.ask(database.url, {"action": "stamp", "target": "017"})
    assert answer["message"] == (
        "settings: There is no snapshot of `017_dry_run_log` to compare the database with. Nothing was changed. "
        "Write it with `migrate snapshot`."
    )


def edit(project: Project, revision: str) -> None:
    path = project.folder / "alembic" / "versions" / f"{revision}.py"
    path.write_text(path.read_text() + "# edited\n")


OUTDATED = (
    "settings: The snapshot of `017_dry_run_log` was made before that revision, or one before it, was edited. "
    "Nothing was changed. Write it again with `migrate snapshot`, then run the same command again."
)


@pytest.mark.parametrize("edited", ["016_platform_baseline", "017_dry_run_log"])
def test_an_outdated_snapshot_cannot_be_stamped(project: Project, database: Database, edited: str) -> None:
    """It says what another text made."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute("drop table alembic_version; drop schema runner cascade")
    edit(project, edited)
    answer = project.ask(database.url, {"action": "stamp", "target": "017"})
    assert answer["message"] == OUTDATED
    assert database.query("select to_regclass('alembic_version')") == [(None,)]
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    answer = project.ask(database.url, {"action": "stamp", "target": "017"})
    assert answer["status"] == "success", answer["message"]


@pytest.mark.parametrize("change", ["", "alter table dry_run_log drop lead_email"], ids=["same", "another"])
def test_a_table_is_not_compared_with_an_outdated_snapshot(project: Project, database: Database, change: str) -> None:
    """It is neither adopted nor refused for a difference; a database without the table is none the worse."""
    edit(project, "017_dry_run_log")
    with postgres.new_database(database.server, f"{database.name}_fresh") as fresh:
        assert project.ask(fresh.url, {"action": "upgrade"})["status"] == "success"
    database.execute(DRY_RUN_LOG + change)
    before = read_catalog(database)
    for action in ("plan", "rehearse", "upgrade"):
        assert project.ask(database.url, {"action": action})["message"] == OUTDATED
    assert read_catalog(database) == before
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer.get("code") == ("unversioned-database" if change else None), answer["message"]


def test_a_renamed_table_is_no_stranger(project: Project, database: Database) -> None:
    """A pending revision moves a table of ours out of the way, the next one makes another of that name."""
    project.add("018_rename", "op.rename_table('disparos', 'disparos_antigo')")
    project.add("019_again", "op.create_table('disparos', sa.Column('id', sa.BigInteger()))", after="018_rename")
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]


def test_a_parent_without_a_snapshot_adopts_nothing(project: Project, database: Database) -> None:
    project.add("018_a", "pass")
    project.add("019_b", "op.create_table('b', sa.Column('id', sa.BigInteger()))", after="018_a")
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    (project.folder / "alembic" / "schema" / "018_a.json").unlink()
    project.ask(database.url, {"action": "upgrade", "target": "018_a"})
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]


TAKEN = [
    ("create view lead_emails as select 1", "`public.lead_emails` (tables): expected `a table`, found `a view`"),
    (
        "create table foo (x int); create index idx_dry_run_canal on foo (x)",
        "`public.dry_run_log.idx_dry_run_canal` (indexes): expected `an index of it`, found `index of public.foo`",
    ),
    (
        "create table tenants (tenant_id uuid, slug varchar(63), company_name varchar(255), cnpj varchar(18), "
        "status varchar(20), timezone varchar(64), created_at timestamptz, updated_at timestamptz); "
        "create unique index tenants_slug_key on tenants (slug)",
        "`public.tenants.tenants_slug_key` (constraints): expected `UNIQUE (slug)`, found "
        "`CREATE UNIQUE INDEX tenants_slug_key ON public.tenants USING btree (slug)`",
    ),
    (
        "create table lead_emails (email_id uuid) partition by hash (email_id)",
        "`public.lead_emails` (tables): expected `a table`, found `a partitioned table`",
    ),
]


@pytest.mark.parametrize(("made", "difference"), TAKEN, ids=["view", "index", "unique index", "partitioned"])
def test_a_name_that_something_else_has(project: Project, database: Database, made: str, difference: str) -> None:
    """IF NOT EXISTS would take it for the wanted one, and report success."""
    database.execute(made)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["code"] == "unversioned-database"
    assert answer["differences"][0] == difference
    assert database.query("select to_regclass('alembic_version')") == [(None,)]


def test_a_table_without_columns_is_different_too(project: Project, database: Database) -> None:
    database.execute("create table leads ()")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], len(answer["differences"])) == ("unversioned-database", 14)


def test_a_schema_named_like_the_role_takes_nothing_in(project: Project, database: Database) -> None:
    database.execute("create schema postgres")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]
    assert database.query("select count(*) from pg_class where relnamespace = 'postgres'::regnamespace") == [(0,)]
    assert database.query("select to_regclass('public.leads') is not null") == [(True,)]


def test_odd_names_are_completed(project: Project, database: Database) -> None:
    """Names with spaces, quotes and percent signs are data like any other."""
    body = """
    op.create_table(
        "Odd 100% 't", sa.Column("Col 5%s", sa.Text(), server_default="5%s", nullable=False, comment="it's 5%"),
        sa.CheckConstraint('"Col 5%s" like \\'%%x\\'', name="odd 5%"), if_not_exists=True)
    op.create_index("idx 5%", "Odd 100% 't", ["Col 5%s"], if_not_exists=True)
    """
    project.add("018_odd", body)
    made = project.run("migrate", "snapshot", url=database.url)
    assert made.returncode == 0, made.stderr
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    database.execute("""create table "Odd 100% 't" ("Col 5%s" text)""")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]
    assert read_catalog(database) == project.snapshot("018_odd")


def test_stamp_sees_what_only_a_later_revision_makes(project: Project, database: Database) -> None:
    """Stamped too low, the next upgrade would make it a second time."""
    project.add("018_note", "op.add_column('leads', sa.Column('note', sa.Text()))")
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    project.ask(database.url, {"action": "upgrade"})
    database.execute("drop table alembic_version")
    answer = project.ask(database.url, {"action": "stamp", "target": "017"})
    assert answer["differences"] == ["`public.leads.note` (columns): expected none, found `text`"]
