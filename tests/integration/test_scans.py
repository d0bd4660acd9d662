"""A rehearsal counts the rows that are read while a lock blocks others, and reports what the lint has not found."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from support.postgres import Database, Server, new_database
from support.project import Project

MANY = 100_000
TABLES = """
    create table big (id bigint not null, n bigint, small int, word text);
    insert into big select i, i, 1, i::text from generate_series(1, 100000) i;
    create table wide (id bigint not null, word text);
    insert into wide select i, repeat('x', 400) from generate_series(1, 100000) i;
    create table few (id bigint primary key, n bigint); insert into few select i, i from generate_series(1, 900) i;
    create table pair (id bigint primary key, n bigint); insert into pair select i, i from generate_series(1, 2000) i;
    create table referenced (id bigint primary key);
    insert into referenced select generate_series(1, 100000);
    create table referring (n bigint); create index on referring (n);
    insert into referring select generate_series(1, 100000);
    create table written (id bigint primary key, n bigint);
    insert into written select i, i from generate_series(1, 100000) i;
    create table parted (id bigint) partition by range (id);
    create table part_1 partition of parted for values from (0) to (50001);
    create table part_2 partition of parted for values from (50001) to (100001);
    insert into parted select generate_series(1, 100000);
    create domain amount as bigint; create table amounts (n amount);
    insert into amounts select generate_series(1, 100000);
    create table joins (id bigint not null); insert into joins select generate_series(1000001, 1100000);
    create materialized view seen as select * from referenced;
    create table other (id bigint);
    create table "Odd ""%s"" name" (n bigint); insert into "Odd ""%s"" name" select generate_series(1, 100000);
"""


@pytest.fixture(scope="module")
def database(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One for all tests here, since a rehearsal leaves it as it was."""
    with new_database(server, "test_scans") as made:
        project = Project.copy(tmp_path_factory.mktemp("first"))
        assert project.ask(made.url, {"action": "upgrade"})["status"] == "success"
        made.execute(TABLES)
        made.execute("vacuum analyze")
        yield made


def rehearse(project: Project, database: Database, *bodies: str) -> dict:
    """Rehearse a revision for each body."""
    before = "017_dry_run_log"
    for number, body in enumerate(bodies, 18):
        project.add(f"{number:03d}_step", body, after=before)
        before = f"{number:03d}_step"
    answer = project.ask(database.url, {"action": "rehearse", "max_lock_hold_ms": 60_000})
    assert answer["status"] == "success", answer
    return answer


def sent(statement: str) -> str:
    return f"op.execute({statement!r})"


def unseen(statement: str) -> str:
    """Return a body that sends a statement from a function."""
    code = f"begin {statement}; end"
    return f"{sent(f'create function act() returns void language plpgsql as $act${code}$act$')}\n{sent('select act()')}"


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("alter table big add column c int check (c is null or c > 0)", {"big": MANY}),
        ("alter table big alter column n set not null", {"big": MANY}),
        ("alter table big add primary key (id)", {"big": MANY}),
        # NOT NULL is proven by a scan of its own
        ("alter table big add primary key (n)", {"big": 2 * MANY}),
        ("alter table big add constraint positive check (n > 0)", {"big": MANY}),
        # the table twice, and each row once more in the index
        ("alter table big add exclude using btree (n with =)", {"big": 3 * MANY}),
        ("create index on big (n)", {"big": MANY}),
        # one text: the finding of the lint is on a part of it, and on the same table
        ("alter table big add column c int; create index on big (n)", {"big": MANY}),
        # so large that several processes build it, of which each counts for itself
        ("create unique index on wide (id)", {"wide": MANY}),
        ("alter table wide add primary key (id)", {"wide": MANY}),
        ("alter table parted attach partition joins for values from (1000000) to (2000000)", {"joins": MANY}),
        ("alter table parted add check (id > 0)", {"parted": MANY}),
        ("alter domain amount add constraint positive check (value > 0)", {"amounts": MANY}),
        ("alter domain amount set not null", {"amounts": MANY}),
        ("alter table big alter column small type bigint", {"big": MANY}),
        ("alter table other add column n bigserial", {}),
        ("alter table wide add column n bigserial", {"wide": MANY}),
        ("alter table wide set unlogged", {"wide": MANY}),
        ("refresh materialized view seen", {"referenced": MANY}),
        ("do $$ begin alter table big add column c int check (c > 0); end $$", {"big": MANY}),
        ("alter table pair add column c int check (c is null)", {"pair": 2000}),
        ("alter table few add column c int check (c is null)", {"few": 900}),
        ('alter table "Odd ""%s"" name" add column c int check (c > 0)', {'"Odd ""%s"" name"': MANY}),
        # what blocks nobody
        ("alter table big add constraint positive check (n > 0) not valid", {}),
        ("alter table big add column c int default 5", {}),
        ("update few set n = n where id = 1", {}),
        ("create table copied as select * from big", {}),
        ("truncate written", {}),
    ],
)  # fmt: skip
def test_each_statement(project: Project, database: Database, statement: str, read: dict[str, int]) -> None:
    """`plan` has a finding for each that reads many rows, so that the rehearsal has none."""
    answer = rehearse(project, database, sent(statement))
    assert answer["revisions"][0]["rows_read"] == read
    assert answer["findings"] == []


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("alter table big add column c int check (c is null or c > 0)", "scans-under-lock"),
        ("alter table parted attach partition joins for values from (1000000) to (2000000)", "scans-under-lock"),
        ("alter domain amount set not null", "scans-under-lock"),
        ("alter table wide add column n bigserial", "rewrites-under-lock"),
        ("refresh materialized view seen", "scans-under-lock"),
    ],
)
def test_what_a_function_does_is_seen_here_only(
    project: Project, database: Database, statement: str, rule: str
) -> None:
    """No rule reads the body of a function that a revision calls."""
    answer = rehearse(project, database, unseen(statement))
    assert [one["rule"] for one in answer["findings"]] == [rule]


def test_a_foreign_key_reads_both_tables(project: Project, database: Database) -> None:
    """In whatever way the planner joins them: also in their indexes, of which no row is fetched."""
    for way in ("hashjoin", "mergejoin", "nestloop"):
        body = [sent(f"set local enable_{one} = off") for one in ("hashjoin", "mergejoin", "nestloop") if one != way]
        key = sent("alter table referring add foreign key (n) references referenced (id)")
        answer = rehearse(project, database, "\n".join([*body, key]))
        read = answer["revisions"][0]["rows_read"]
        assert read["referring"] >= MANY
        assert read["referenced"] >= MANY
        # the finding of the statement is on one of its tables only
        assert answer["findings"] == [], way


LOCK = sent("alter table leads add column score bigint")
UPDATE = sent("update written set n = n + 1 where n > 0")
FETCH = """
driver = op.get_bind().connection.dbapi_connection
with driver.cursor("held") as cursor:
    cursor.execute("select * from big")
    rows = cursor.fetchmany(5000)
"""
COPY = """
import io
with op.get_bind().connection.dbapi_connection.cursor() as cursor:
    cursor.copy_expert("copy big to stdout", io.StringIO())
"""
CALL = """
with op.get_bind().connection.dbapi_connection.cursor() as cursor:
    cursor.callproc("public.count_rows")
"""
MANY_TIMES = """
with op.get_bind().connection.dbapi_connection.cursor() as cursor:
    cursor.executemany("select count(*) from big where id > %s", [(1,), (2,)])
"""
FUNCTION = sent("create function count_rows() returns bigint language sql as 'select count(*) from public.big'")


@pytest.mark.parametrize(
    ("bodies", "read"),
    [
        # before the lock, and in another revision than it: in a run that lock is released by then
        ([f"{COPY}\n{LOCK}"], [{}]),
        ([f"{FETCH}\n{LOCK}"], [{}]),
        ([LOCK, COPY], [{}, {}]),
        # after it
        ([f"{LOCK}\n{COPY}"], [{"big": MANY}]),
        # 5,000 rows; the plan reads them in the order of the table
        ([f"{LOCK}\n{FETCH}"], [{"big": 5000}]),
        ([f"{LOCK}\n{FETCH}\n{sent('select 1')}"], [{"big": 5000}]),
        ([f"{LOCK}\n{FUNCTION}\n{CALL}"], [{"big": MANY}]),
        ([f"{LOCK}\n{MANY_TIMES}"], [{"big": 2 * MANY}]),
        ([f"{LOCK}\n{UPDATE}"], [{"written": MANY}]),
        # another file, but not of the same rows
        ([f"{sent('truncate written')}\n{sent('insert into written select id, n from big')}\n"
          f"{sent('select count(*) from written')}"], [{"big": MANY, "written": MANY}]),
        # a lock that blocks nobody, and tables that nobody else can see
        ([f"{sent('lock table leads in share update exclusive mode')}\n{COPY}"], [{}]),
        ([f"{sent('create table made as select * from big')}\n{sent('create index on made (n)')}\n{COPY}"], [{}]),
        ([f"{sent('create temp table made as select * from big')}\n{sent('alter table made alter n set not null')}"],
         [{}]),
        # a table of the revision itself is read while others wait for another one
        ([f"{sent('create table made as select * from big')}\n{LOCK}\n{sent('create index on made (n)')}"],
         [{"made": MANY}]),
        # both lock the same table, and so would do in a run
        ([LOCK.replace("leads", "big"), sent("alter table big alter column n set not null")], [{}, {"big": MANY}]),
        ([LOCK.replace("leads", "big"), f"{sent('alter table big add column c int')}\n{COPY}"], [{}, {"big": MANY}]),
        ([LOCK.replace("leads", "big"), sent("do $$ begin alter table big alter n set not null; end $$")],
         [{}, {"big": MANY}]),
        ([LOCK.replace("leads", "big"), f"{sent('create view v as select * from big')}\n{COPY}"], [{}, {}]),
        ([LOCK.replace("leads", "big"),
          sent("alter table big add constraint c check (n > 0) not valid"),
          sent("alter table big validate constraint c")], [{}, {}, {}]),
    ],
)  # fmt: skip
def test_the_order_decides(project: Project, database: Database, bodies: list[str], read: list[dict[str, int]]) -> None:
    answer = rehearse(project, database, *bodies)
    assert [one["rows_read"] for one in answer["revisions"]] == read
    assert "rewrites-under-lock" not in [one["rule"] for one in answer["findings"]]


def test_a_moved_table_is_a_rewrite(project: Project, database: Database) -> None:
    """Its file is copied, so that no row is read; the planner's number of rows stands for them."""
    with closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
        cursor.execute("set allow_in_place_tablespaces = on")
        cursor.execute("create tablespace elsewhere location ''")
        try:
            answer = rehearse(project, database, unseen("alter table big set tablespace elsewhere"))
        finally:
            cursor.execute("drop tablespace elsewhere")
    assert answer["revisions"][0]["rows_read"] == {"big": MANY}
    assert [one["rule"] for one in answer["findings"]] == ["rewrites-under-lock"]


def test_a_failed_statement_disturbs_nothing(project: Project, database: Database) -> None:
    """In a savepoint: what its lock would have blocked is free again, and the later ones are measured."""
    body = f"""
bind = op.get_bind()
try:
    with bind.begin_nested():
        bind.execute(sa.text("alter table leads add column score bigint"))
        bind.execute(sa.text("select 1 / 0"))
except sa.exc.DataError:
    pass
bind.execute(sa.text("select count(*) from referenced"))
{LOCK}
bind.execute(sa.text("set local search_path = pg_temp"))
bind.execute(sa.text("set local role pg_read_all_data"))
rows = bind.execution_options(stream_results=True).execute(sa.text("select id from public.big"))
assert len(rows.all()) == 100000
"""
    (seen,) = rehearse(project, database, body)["revisions"]
    assert (seen["outcome"], seen["rows_read"]) == ("rehearsed", {"big": MANY})


FAILS = """
try:
    with op.get_bind().begin_nested():
        {body}
        op.execute("select 1 / (n - 100000) from big")
except sa.exc.DataError:
    pass
"""
BLOCK = sent("do $$ begin perform 1 / (n - 100000) from big; exception when division_by_zero then null; end $$")


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (f"{FAILS.format(body='pass')}\n{LOCK}", {}),
        (f"{LOCK}\n{FAILS.format(body='pass')}", {"big": MANY}),
        # what was read before the lock is not counted again when the table is locked again
        (f"{FAILS.format(body='pass')}\n{LOCK}\n{sent('select * from big limit 500')}", {"big": 500}),
        (f"{BLOCK}\n{LOCK}\n{sent('select * from big limit 500')}", {"big": 500}),
        # the lock is released with the savepoint
        (FAILS.format(body=LOCK), {}),
        # a file that comes back is no rewrite
        (f"{LOCK}\n{FAILS.format(body=sent('alter table wide add column n bigserial'))}\n"
         f"{sent('alter table wide add column m int')}", {"wide": MANY, "big": MANY}),
    ],
)  # fmt: skip
def test_what_a_failed_statement_read(project: Project, database: Database, body: str, read: dict[str, int]) -> None:
    """It has blocked others as well, where the lock is older than the savepoint."""
    answer = rehearse(project, database, body)
    assert answer["revisions"][0]["rows_read"] == read
    assert [one["statement"] for one in answer["findings"] if one["table"] == "big"] == (
        ["select 1 / (n - 100000) from big"] if read.get("big") == MANY else []
    )


def test_the_finding_says_what_was_blocked(project: Project, database: Database) -> None:
    """The answer is no, also as an exit code; a table of 80 columns has it all."""
    check = "alter table big add column a_long_name_of_a_column int check (a_long_name_of_a_column is null or "
    answer = rehearse(project, database, f"{unseen(check + 'a_long_name_of_a_column > 0)')}\n{UPDATE}")
    first, second = answer["findings"]
    assert (first["rule"], first["level"], first["revision"]) == ("scans-under-lock", "error", "018_step")
    assert first["message"] == (
        "`018_step` read 100,000 rows of `big` while it blocked reads and writes of `big`, and the lint has no finding"
        " for it."
    )
    assert first["statement"] == "select act()"
    assert first["table"] == "big"
    assert "NOT VALID" in first["help"]
    assert (second["table"], answer["ok"]) == ("written", False)
    assert "`018_step` read 100,000 rows of `big` while it blocked reads and writes of `big`." in answer["message"]
    done = project.run("migrate", "rehearse", "--max-lock-hold-ms", "60000", url=database.url)
    assert done.returncode == 4, done.stderr
    assert "revision\ttable\trows\n018_step\tbig\t100,000\n018_step\twritten\t100,000\n" in done.stdout
    assert "scans-under-lock" in done.stdout


def test_few_rows_are_a_warning(project: Project, database: Database) -> None:
    answer = rehearse(project, database, unseen("alter table pair add column c int check (c is null)"))
    assert [one["level"] for one in answer["findings"]] == ["warning"]
    assert answer["ok"]


def test_many_small_statements_are_one_finding(project: Project, database: Database) -> None:
    body = f"{LOCK}\nfor _ in range(40):\n    op.execute('select * from big limit 500')"
    (finding,) = rehearse(project, database, body)["findings"]
    assert finding["level"] == "error"
    assert "`018_step` read 20,000 rows of `big` while it blocked reads and writes of `leads`" in finding["message"]


def test_a_comment_allows_it(project: Project, database: Database) -> None:
    """`plan` cannot find it, and so does not call the comment unused."""
    check = unseen("alter table big add column c int check (c is null)")
    answer = rehearse(project, database, f"{check}  # lint-allow scans-under-lock: at night")
    assert (answer["ok"], answer["findings"]) == (True, [])
    assert [(one["rule"], one["reason"]) for one in answer["allowed"]] == [("scans-under-lock", "at night")]
    planned = project.ask(database.url, {"action": "plan"})
    assert not [one for one in planned["findings"] if one["rule"] == "unused-suppression"]


def test_a_note_about_the_same_table_is_not_enough(project: Project, database: Database) -> None:
    """squawk has one about the type of a column, and nothing about what the function does."""
    note = sent("alter table big add column d int")
    answer = rehearse(project, database, f"{note}\n{unseen('alter table big add check (n > 0)')}")
    planned = project.ask(database.url, {"action": "plan"})
    assert [one["level"] for one in planned["findings"] if one["table"] == "big"] == ["note"], planned["findings"]
    assert [one["table"] for one in answer["findings"]] == ["big"]


def test_without_squawk_the_answer_says_so(
    project: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.lint.squawk.EXECUTABLE", "squawk-is-not-installed")
    answer = rehearse(project, database, sent("create index on big (n)"))
    assert "The SQL was not linted because the extra `lint` is not installed." in answer["message"]
    assert [one["rule"] for one in answer["findings"]] == ["scans-under-lock"]
