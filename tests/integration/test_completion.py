"""A database from before: what beside columns a table is given, and what it is refused for."""

import pytest

from runner.schema import catalog
from support.postgres import Database, read_catalog
from support.project import Project

TABLE = "create table parts (id integer constraint parts_pkey primary key, label text, at timestamptz)"
# a revision that does nothing at all where its table is there
REVISION = """
op.execute('''
    do $$ begin
        if to_regclass('parts') is null then
            create table parts (id integer constraint parts_pkey primary key, label text, at timestamptz);
            alter table parts add constraint parts_id_check check (id > 0);
            create index parts_label on parts (label);
            create statistics parts_stats on id, label from parts;
            create rule parts_keep as on delete to parts do instead nothing;
            create policy parts_own on parts for select to public using (id > 1);
            create trigger parts_touch before update on parts for each row
                execute function suppress_redundant_updates_trigger();
            alter table parts set (fillfactor = 70);
            comment on table parts is 'it''s 5%';
            comment on index parts_label is 'index';
            comment on constraint parts_id_check on parts is 'check';
            comment on constraint parts_pkey on parts is 'key';
            comment on statistics parts_stats is 'statistics';
            comment on rule parts_keep on parts is 'rule';
            comment on policy parts_own on parts is 'policy';
            comment on trigger parts_touch on parts is 'trigger';
        end if;
    end $$
''')
"""


def adding(project: Project, database: Database, revision: str) -> catalog.Catalog:
    """Add a revision, and return what it makes."""
    project.add("018_parts", revision)
    done = project.run("migrate", "snapshot", url=database.url)
    assert done.returncode == 0, done.stderr
    return project.snapshot("018_parts")


@pytest.mark.parametrize(
    "more",
    [
        "",
        "; comment on table parts is 'antigo'; comment on column parts.label is 'antigo'",
        "; create index parts_label on parts (label); comment on index parts_label is 'antigo'",
        "; comment on constraint parts_pkey on parts is 'antigo'; alter table parts set (fillfactor = 90)",
    ],
    ids=["bare", "comments", "index", "key"],
)
def test_whatever_has_a_statement_is_completed(project: Project, database: Database, more: str) -> None:
    """Policies, rules, statistics, storage options, and the comments on each."""
    wanted = adding(project, database, REVISION)
    database.execute(TABLE + more)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]
    assert read_catalog(database) == wanted


UNFIT = {
    "another policy": (
        f"{TABLE}; create policy parts_own on parts using (true)",
        "`public.parts.parts_own` (policies): expected `AS PERMISSIVE FOR SELECT TO PUBLIC USING ((id > 1))`, "
        "found `AS PERMISSIVE FOR ALL TO PUBLIC USING (true)`",
    ),
    "another rule": (
        f"{TABLE}; create rule parts_keep as on insert to parts do instead nothing",
        "`public.parts.parts_keep` (rules): expected `CREATE RULE parts_keep AS\n    ON DELETE TO public.parts DO "
        "INSTEAD NOTHING;`, found `CREATE RULE parts_keep AS\n    ON INSERT TO public.parts DO INSTEAD NOTHING;`",
    ),
    "row security": (
        f"{TABLE}; alter table parts enable row level security",
        "`public.parts.row_security` (settings): expected none, found `on`",
    ),
    "unlogged": (
        TABLE.replace("create table", "create unlogged table"),
        "`public.parts.persistence` (shape): expected none, found `unlogged`",
    ),
    "a child": (
        f"create table whole (id integer); {TABLE}; alter table parts alter id set not null, inherit whole",
        "`public.parts.inherits` (shape): expected none, found `public.whole`",
    ),
}


@pytest.mark.parametrize(("made", "difference"), UNFIT.values(), ids=UNFIT)
def test_what_completing_cannot_mend_is_refused(
    project: Project, database: Database, made: str, difference: str
) -> None:
    """Before anything is touched."""
    adding(project, database, REVISION)
    database.execute(made)
    before = read_catalog(database)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["differences"]) == ("unversioned-database", [difference])
    assert read_catalog(database) == before


def test_partitioned_tables(project: Project, database: Database) -> None:
    """One that is partitioned in the same way is adopted, one that is not is refused."""
    made = "create table if not exists parts (id integer, at timestamptz) partition by range (at)"
    wanted = adding(project, database, f"op.execute('{made}')")
    database.execute("create table parts (id integer, at timestamptz) partition by range (id)")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["differences"] == ["`public.parts.partition_key` (shape): expected `RANGE (at)`, found `RANGE (id)`"]
    database.execute(f"drop table parts; {made}")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]
    assert read_catalog(database) == wanted


def test_a_setting_that_the_revision_does_not_reach_rolls_it_back(project: Project, database: Database) -> None:
    """What no statement of ours gives is compared again inside the revision."""
    adding(
        project, database, REVISION.replace("alter table parts set", "alter table parts force row level security, set")
    )
    database.execute(TABLE)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["differences"] == ["`public.parts.row_security` (settings): expected `forced`, found none"]
    assert answer["to"] == "017_dry_run_log"
