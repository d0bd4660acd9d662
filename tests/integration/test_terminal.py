"""The tables on a terminal of 80 or 120 columns: each line fits, nothing is broken that is read or copied as one."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass

import psycopg2
import pytest
from psycopg2.extras import wait_select

from support import terminal, waiting
from support.postgres import Database, Server, new_database
from support.project import Project

WIDE = 4000
"""Columns in which nothing has to be wrapped."""
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
BOX = re.compile("[│┃┏┓┗┛┡┩┳┻╇━─└┘┴┬┼├┤┌┐╭╮╰╯]")
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: UTC)?")
LONG = "018_index_leads_require_campaign"
TABLES = [f"campaign_audience_segment_membership_{number:02d}" for number in range(12)]
REVISION = f"""
op.create_index("ix_leads_by_interest_and_the_moment_of_their_ingestion", "leads", ["interesse", "data_ingestao"])
op.add_column("leads", sa.Column("campaign_of_the_first_contact", sa.Text(), nullable=False))
op.execute("update leads set interesse = coalesce(interesse, 0) + 1 where nome is not null")
for name in {TABLES!r}:
    op.create_table(name, sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("lead_id", sa.UUID()))
op.create_foreign_key("fk_membership_of_the_first_segment_to_leads", {TABLES[0]!r}, "leads", ["lead_id"], ["lead_id"])
"""
DRIFT = """
alter table leads add column somebody_added_this_by_hand_in_the_middle_of_the_night text;
create index an_index_that_nobody_wrote_into_a_revision_of_this_project on leads (nome, interesse);
alter table tenants alter column company_name drop not null;
"""
FILL = """
insert into tenants (slug, company_name) values ('test-001', 'Teste');
insert into leads (tenant_id, nome, interesse)
    select tenant_id, 'Lead ' || n, n % 101 from tenants, generate_series(1, 12000) n;
analyze leads;
"""
NEEDED = {
    ("history",): [("revisions", "revision", "description", "state", "ledger.actor", "ledger.error_code")],
    ("plan",): [
        ("revisions", "revision", "description", "direction", "tables"),
        ("tables", "table"),
        ("findings", "level", "rule", "revision", "message", "help", "statement", "path"),
    ],
    ("check",): [("findings", "level", "kind", "name", "message", "help", "entry")],
    ("rehearse",): [("revisions", "revision", "outcome", "reason")],
    ("activity",): [("sessions", "pid", "login", "application", "waits_for", "blocks", "statement"),
                    ("prepared", "name", "owner", "ending")],
}  # fmt: skip
PREPARED = "settlement of 2026-11-30 at the bank"
COPIED = re.compile(r" *migrate |[a-z]+ = ")


@dataclass(frozen=True)
class Site:
    """A project with a database that has something for each table to show."""

    project: Project
    database: Database

    def seen(self, columns: int, *command: str) -> str:
        """Return what a command writes on a terminal, without colours."""
        _, seen = terminal.run(
            self.project.folder, "migrate", *command, columns=columns, DATABASE_URL=self.database.url
        )
        # what a bar has drawn is gone once the next line is written over it
        return re.sub(r"[^\n]*\r", "", ESCAPE.sub("", seen).replace("\r\n", "\n"))

    def answer(self, *command: str) -> dict:
        return json.loads(self.project.run("migrate", *command, "--json", url=self.database.url).stdout)


@pytest.fixture(scope="module")
def site(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A database at 017 of an image, with leads and drift; a failed run and a long revision are behind it."""
    folder = tmp_path_factory.mktemp("terminal")
    project = Project.copy(folder)
    with new_database(server, "test_terminal") as database:
        image = {"IMAGE_DIGEST": "sha256:" + "1234567890abcdef" * 4}
        done = project.run("migrate", "upgrade", "--actor", "ana.planted@example.com", url=database.url, **image)
        assert done.returncode == 0, done.stderr
        database.execute(FILL)
        database.execute(DRIFT)
        project.add(LONG, REVISION)
        failed = project.run("migrate", "upgrade", "--actor", "ana.planted@example.com", url=database.url, **image)
        assert failed.returncode == 1, failed.stderr
        yield Site(project, database)


@contextmanager
def blocked(database: Database) -> Iterator[None]:
    """Hold a lock that another session waits for, and have a prepared transaction."""
    name = "billing-service-worker-of-the-nightly-settlement-0042"
    with ExitStack() as stack:
        # the last one is asynchronous: it waits while this test goes on
        holder, other, waits = (
            stack.enter_context(closing(psycopg2.connect(database.url, application_name=name, async_=asynchronous)))
            for asynchronous in (False, False, True)
        )
        wait_select(waits)
        holder.cursor().execute("lock table leads in share mode; select count(*), 'planted' as word from leads")
        other.cursor().execute(f"lock table tenants in share mode; prepare transaction '{PREPARED}'")
        waits.cursor().execute("alter table leads add column campaign_of_the_last_contact_of_all text")
        try:
            waiting.until(database, waiting.BLOCKED, 1)
            yield
        finally:
            database.execute(f"rollback prepared '{PREPARED}'")


def words(seen: str) -> set[str]:
    """Return the words of a screen without its borders and digits, since times differ from one call to the next."""
    return {word.rstrip(":") for word in re.sub(r"\d+(?:,\d+)*", "0", BOX.sub(" ", seen)).split()}


def flat(seen: str) -> str:
    return " ".join(BOX.sub(" ", seen).split())


def too_long(seen: str, columns: int) -> list[str]:
    """Return the lines that do not fit, but for those that are copied whole: a command, and an entry of TOML."""
    lines = [line for line in seen.split("\n") if len(line) > columns]
    return [line for line in lines if not COPIED.match(line) and " " in line.strip()]


def check(narrow: str, wide: str, columns: int) -> None:
    """Fail where a line is too long, or where a word, a time or a command is not as it is without any wrapping."""
    assert too_long(narrow, columns) == []
    # the name of a column is written before each cell below its row, but that of the description, which says itself
    assert words(narrow) ^ words(wide) <= {"description"}
    assert sorted(TIME.findall(narrow)) == sorted(TIME.findall(wide))
    for command in re.findall("`[^`\n]+`", wide):
        if len(command) < columns - 4:
            told = re.escape(re.sub(r"\d+", "0", command))
            assert re.search(told, re.sub(r"\d+", "0", narrow)), command


def needed(answer: dict, *path: str) -> Iterator[str]:
    """Yield the texts under the keys in a list of an answer."""
    for one in answer[path[0]]:
        for key in path[1:]:
            found = one
            for part in key.split("."):
                found = found[part] if found else None
            for text in found if isinstance(found, list) else [found] if found is not None else []:
                yield " ".join(str(text).split())


@pytest.mark.parametrize("command", NEEDED, ids=lambda command: command[0])
def test_nothing_is_broken_and_nothing_is_missing(site: Site, command: tuple[str, ...]) -> None:
    """A narrow screen has the words of one in which nothing is wrapped, and each name, sentence and remedy of JSON."""
    with blocked(site.database) if command == ("activity",) else nullcontext():
        narrow, wide = {columns: site.seen(columns, *command) for columns in (80, 120)}, site.seen(WIDE, *command)
        answer = site.answer(*command)
    texts = [text for path in NEEDED[command] for text in needed(answer, *path)]
    assert len(texts) >= 2
    for columns, seen in narrow.items():
        check(seen, wide, columns)
        assert [text for text in texts if text not in flat(seen)] == [], columns


def test_the_lines_of_a_wait_with_long_names(project: Project, database: Database) -> None:
    """While it waits and when it gives up: names and the command are whole, and each line fits 80 columns."""
    table, revision = "campaign_audience_segment_membership_of_the_nightly_settlement_", "018_widen_the_membership"
    name = "billing-service-worker-of-the-nightly-settlement-of-region-0042"
    assert (len(table), len(name)) == (63, 63)
    assert project.ask(database.url, {"action": "upgrade", "target": "017"})["status"] == "success"
    database.execute(f"""
        create table {table} (id bigint);
        do $$ begin create role app_login login password 'x'; exception when duplicate_object then null; end $$;
        grant all on {table} to app_login
    """)
    project.add(revision, f"op.execute('alter table {table} add column note text')")
    named = {"user": "app_login", "password": "x", "application_name": name}
    with closing(psycopg2.connect(database.url, **named)) as holder, holder.cursor() as cursor:
        cursor.execute(f"lock table {table} in access share mode")
        code, seen = terminal.run(
            project.folder, "migrate", "--timeout", "7", "upgrade", columns=80, DATABASE_URL=database.url,
            LOCK_TIMEOUT_MS="2500",
        )  # fmt: skip
        pid = holder.info.backend_pid
    lines = re.split(r"[\r\n]+", ESCAPE.sub("", seen))
    assert code == 1, seen
    assert [line for line in lines if len(line) > 80] == []
    # the bar is drawn anew after each line
    told = " ".join(line for line in lines if not line.startswith("Applying "))
    waits, _, gives_up = told.partition("lock-timeout: ")
    for said in (waits, gives_up):
        assert re.search(rf"`{table}`, held by pid {pid} \({name}\), idle in transaction for \d+ s", said), seen
        assert re.search(rf"`migrate end-session {pid} --confirm [0-9a-f]+\.[0-9a-f]+`", said), seen
