"""Stats: the numbers of the log, for people, for scripts and as a picture."""

import json
import re
from datetime import date

import pytest

from dispatch_agent import words
from dispatch_agent.log import stats as figures
from support import terminal
from support.agent_log import OURS, THEIRS, log
from support.postgres import Database
from support.project import Project

OUTSIDE = "fora do horário comercial: a próxima janela abre em {} às 08:00 (America/Rio_Branco)"


@pytest.fixture
def logged(migrated: Database) -> Database:
    """Decisions of three days and two tenants, whose reasons have numbers and times in them."""
    migrated.execute(f"insert into tenants (tenant_id, slug, company_name) values ('{OURS}', 'ours', 'Ours')")
    log(migrated, OURS, "whatsapp", 5)
    log(migrated, OURS, "whatsapp", 2, OUTSIDE.format("23/11"))
    log(migrated, OURS, "email", 1, OUTSIDE.format("24/11"))
    log(migrated, OURS, "whatsapp", 3, "limite por minuto do tenant: 10 de 10", days=1)
    log(migrated, OURS, "whatsapp", 1, "limite por minuto do tenant: 12 de 10", days=1)
    log(migrated, OURS, "none", 4, "nenhum canal disponível", days=1)
    log(migrated, OURS, "calendar", 1_200, days=13)
    log(migrated, OURS, "email", 9, days=14)
    log(migrated, THEIRS, "email", 7, "lead encerrado")
    return migrated


def stats(project: Project, database: Database, *options: str) -> list[list[str]]:
    done = project.run("dispatch-agent", "stats", *options, url=database.url)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_on_a_pipe_they_are_tab_separated(project: Project, logged: Database) -> None:
    """A row for each day, channel and kind of reason: what varies within a kind follows the first colon."""
    ((today, yesterday, first),) = logged.query(
        "select current_date::text, (current_date - 1)::text, (current_date - 13)::text"
    )
    assert stats(project, logged, "--tenant", "ours") == [
        ["dia", "canal", "motivo", "decisões"],
        [first, "calendar", "", "1200"],
        [yesterday, "none", "nenhum canal disponível", "4"],
        [yesterday, "whatsapp", "limite por minuto do tenant", "4"],
        [today, "email", "fora do horário comercial", "1"],
        [today, "whatsapp", "", "5"],
        [today, "whatsapp", "fora do horário comercial", "2"],
    ]
    assert stats(project, logged, "--days", "1")[1:] == [
        [today, "email", "lead encerrado", "7"],
        [today, "email", "fora do horário comercial", "1"],
        [today, "whatsapp", "", "5"],
        [today, "whatsapp", "fora do horário comercial", "2"],
    ]
    assert sum(int(row[3]) for row in stats(project, logged, "--days", "15")[1:]) == 1_232


def test_words_go_to_stderr(project: Project, logged: Database) -> None:
    done = project.run("dispatch-agent", "stats", "--tenant", str(OURS), "--days", "1", url=logged.url)
    (today,) = logged.query("select current_date::text")[0]
    assert done.stderr == f"8 decisions of `{OURS}` since {today}.\n"


def test_json(project: Project, logged: Database) -> None:
    done = project.run("dispatch-agent", "--json", "stats", "--tenant", "ours", "--days", "2", url=logged.url)
    answer = json.loads(done.stdout)
    assert (answer["tenant"], answer["days"]) == ("ours", 2)
    assert [(one["channel"], one["reason"], one["decisions"]) for one in answer["tallies"]] == [
        ("none", "nenhum canal disponível", 4),
        ("whatsapp", "limite por minuto do tenant", 4),
        ("email", "fora do horário comercial", 1),
        ("whatsapp", None, 5),
        ("whatsapp", "fora do horário comercial", 2),
    ]


def test_on_a_terminal_there_are_tables_and_a_plot(project: Project, logged: Database) -> None:
    code, seen = terminal.run(
        project.folder,
        "dispatch-agent",
        "stats",
        "--tenant",
        "ours",
        columns=120,
        DATABASE_URL=logged.url,
        NO_COLOR="1",
    )
    assert code == 0, seen
    (today, label, first) = logged.query(
        "select current_date::text, to_char(current_date, 'DD/MM'), to_char(current_date - 13, 'DD/MM')"
    )[0]
    seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    assert re.search(rf"│ {today} │ +7 │ +1 │ +0 │ +0 │ +8 │ +5 │", seen), seen
    assert re.search(r"│ limite por minuto do tenant │ +4 │ +0 │ +0 │ +0 │ +4 │", seen)
    assert re.search(r"│ fora do horário comercial +│ +2 │ +1 │ +0 │ +0 │ +3 │", seen)
    assert "█ whatsapp   ▓ email   ▒ calendar   ░ none" in seen
    assert "1,200┤" in seen
    assert label in seen.splitlines()[-1]
    assert first in seen.splitlines()[-1]
    assert max(map(len, seen.splitlines())) <= 120
    coloured = terminal.run(project.folder, "dispatch-agent", "stats", columns=80, DATABASE_URL=logged.url)[1]
    assert re.search(r"\x1b\[38;[0-9;]+m▒", coloured)
    assert max(len(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).rstrip()) for line in coloured.splitlines()) <= 80


@pytest.mark.parametrize(("days", "columns"), [(1, 40), (366, 80), (60, 30)])
def test_the_plot_fits_any_terminal(project: Project, logged: Database, days: int, columns: int) -> None:
    code, seen = terminal.run(
        project.folder, "dispatch-agent", "stats", "--days", str(days), columns=columns, DATABASE_URL=logged.url
    )
    assert code == 0, seen
    assert "┤" in seen


@pytest.mark.parametrize("days", [1, 2, 7, 14, 26, 366])
@pytest.mark.parametrize("columns", [40, 60, 79, 80, 81, 100, 120, 160])
def test_each_bar_has_a_label(days: int, columns: int) -> None:
    """The day stands under each bar, today's too, and the month where it changes."""
    today = date(2026, 12, 5)
    told = figures.Stats(today, days, [figures.Tally(today, "whatsapp", None, 123_456)])
    drawn = figures.plot(told, columns, coloured=False).splitlines()
    (place,) = [number for number, line in enumerate(drawn) if "┬" in line]
    axis, labels, months = drawn[place], drawn[place + 1], "".join(drawn[place + 2 :])
    assert labels.split()[-1].startswith("05")
    assert len(labels.split()) == axis.count("┬") <= days
    assert len(labels) <= columns
    assert labels.endswith("/12") or "/12" in months


def test_nothing_decided(project: Project, migrated: Database) -> None:
    done = project.run("dispatch-agent", "stats", url=migrated.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("0 decisions of all tenants since ")
    code, seen = terminal.run(project.folder, "dispatch-agent", "stats", DATABASE_URL=migrated.url)
    assert (code, seen.count("\n")) == (0, 1)


def test_rows_of_the_old_agent_count_too(project: Project, migrated: Database) -> None:
    """They may lack the reason, or whether it would have been sent."""
    migrated.execute(
        "insert into dry_run_log (tenant_id, canal_decidido, motivo_decisao, disparo_seria_executado, razao_bloqueio) "
        f"values ('{OURS}', 'email', 'x', false, null), ('{OURS}', 'email', 'x', null, ' : '), "
        f"('{OURS}', 'email', 'x', true, 'limite: 3')"
    )
    assert [row[1:] for row in stats(project, migrated)[1:]] == [
        ["email", "(sem motivo)", "2"],
        ["email", "", "1"],
    ]


def test_an_older_function_tells_the_blocklist_alone() -> None:
    """A laptop is often ahead of the image of an environment."""
    told = {"ilegiveis": {"bloqueios": {"total": 1, "ids": ["7"]}}}
    assert list(words.unreadable(told)) == ["  1 row of the blocklist names nobody, and blocks nobody: 7"]
