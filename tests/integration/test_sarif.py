"""The findings of a plan as SARIF, with what GitHub's code scanning requires of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.lint import rules
from runner.output import console, rule_texts
from support.postgres import Database
from support.project import Project

INDEX = 'op.create_index("i", "leads", ["nome"])'
RULE = "require-concurrent-index-creation"
SENTENCE = "CREATE INDEX blocks the writes of its table until each row is read and the index is built."
ALLOWED = 'op.drop_column("leads", "tags")  # lint-allow ban-drop-column: nothing has read it since 2026-09'

# The keys of each object that is written, the required ones marked, as the schema of SARIF 2.1.0 has them:
# https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json
SCHEMA: dict[str, dict[str, Any]] = {
    "log": {"$schema": str, "version!": ("2.1.0",), "runs!": ["run"]},
    "run": {"tool!": "tool", "invocations": ["invocation"], "results": ["result"]},
    "tool": {"driver!": "driver"},
    "driver": {"name!": str, "semanticVersion": str, "rules": ["rule"]},
    "rule": {
        "id!": str, "shortDescription": "text", "fullDescription": "text", "help": "text", "helpUri": str,
    },
    "text": {"text!": str},
    "invocation": {"executionSuccessful!": bool, "toolExecutionNotifications": ["notification"]},
    "notification": {"message!": "text", "level": ("none", "note", "warning", "error")},
    "result": {
        "message!": "text", "ruleId": str, "ruleIndex": int, "level": ("none", "note", "warning", "error"),
        "locations": ["location"], "partialFingerprints": dict, "suppressions": ["suppression"],
    },
    "location": {"physicalLocation": "physical"},
    "physical": {"artifactLocation": "artifact", "region": "region"},
    "artifact": {"uri": str, "uriBaseId": str},
    "region": {"startLine": int},
    "suppression": {"kind!": ("inSource", "external"), "justification": str},
}  # fmt: skip


def assert_fits(part: Any, name: Any) -> None:
    """Assert that a part of a log has the keys and the types of the object that the schema calls `name`."""
    if isinstance(name, list):
        assert isinstance(part, list)
        for one in part:
            assert_fits(one, name[0])
    elif isinstance(name, tuple):
        assert part in name
    elif isinstance(name, type):
        assert isinstance(part, name)
    else:
        known = {key.rstrip("!"): kind for key, kind in SCHEMA[name].items()}
        assert part.keys() <= known.keys(), (name, part)
        assert {key.rstrip("!") for key in SCHEMA[name] if key.endswith("!")} <= part.keys(), (name, part)
        for key, value in part.items():
            assert_fits(value, known[key])


def scan(project: Project, *words: str, code: int = 4, url: str | None = None) -> dict[str, Any]:
    """Return the one run of the log that a plan without a database prints."""
    words = words or ("--offline", "017:head")
    done = project.run("migrate", "plan", "--sarif", *words, url=url)
    assert done.returncode == code, done.stderr
    log = json.loads(done.stdout)
    assert_fits(log, "log")
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == sorted({one["ruleId"] for one in run["results"]})
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in run["results"])
    return dict(run)


def test_a_finding_has_a_place_a_level_and_a_remedy(project: Project) -> None:
    project.add("018_index", f"op.execute('select 1')\n{INDEX}")
    run = scan(project)
    assert run["tool"]["driver"]["rules"] == [
        {
            "id": RULE,
            "shortDescription": {"text": "Require concurrent index creation"},
            "fullDescription": {"text": SENTENCE},
            "help": {"text": rule_texts.describe(RULE).page},
        }
    ]
    (found,) = run["results"]
    assert (found["ruleId"], found["level"]) == (RULE, "error")
    assert found["message"]["text"] == (
        "`leads`: Building the index blocks writes to `leads` while all rows are read. "
        "Build it concurrently, in a revision of its own."
    )
    assert found["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "alembic/versions/018_index.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 9},
    }
    (told,) = run["invocations"]
    assert told["executionSuccessful"]
    assert "whether a table that a revision creates exists already" in json.dumps(told["toolExecutionNotifications"])


def test_a_rule_has_the_same_text_whatever_it_finds() -> None:
    """It is that of its page, and of squawk's rules the address of theirs; an older client has it without `lint`."""
    for rule in rules.load():
        text = rule_texts.describe(rule.id)
        page = sys.modules[rule.find.__module__].__doc__ or ""
        assert " ".join(text.page.split()) == " ".join(page.split())
        assert text.page.startswith(text.sentence)
        assert text.address is None
    assert rule_texts.describe("prefer-text-field").address == "https://squawkhq.com/docs/prefer-text-field"
    assert rule_texts.describe("transaction-ended").sentence == "Of the revision: it ends its own transaction."


def test_an_allowed_finding_is_suppressed_with_its_reason(project: Project) -> None:
    """As a note, since GitHub shows what is suppressed as an alert; it does not fail a pull request's check."""
    project.add("018_drop", ALLOWED)
    (found,) = scan(project, code=0)["results"]
    assert (found["ruleId"], found["level"]) == ("ban-drop-column", "note")
    assert found["suppressions"] == [{"kind": "inSource", "justification": "nothing has read it since 2026-09"}]


def test_no_findings_are_an_empty_list(project: Project) -> None:
    """GitHub then closes the alerts of the run before."""
    assert scan(project, "--offline", "base:head", code=0)["results"] == []


def test_an_alert_is_known_again_where_its_line_has_moved(project: Project) -> None:
    twice = 'op.execute("truncate leads")\nop.execute("truncate leads")'
    before, after = [], []
    for body, found in ((f"{INDEX}\n{twice}", before), (f"# a comment\n\n{INDEX}\n{twice}", after)):
        project.add("018_change", body)
        results = scan(project)["results"]
        found += [one["partialFingerprints"]["finding/v1"] for one in results]
        lines = [one["locations"][0]["physicalLocation"]["region"]["startLine"] for one in results]
    assert max(lines) == 11
    assert sorted(before) == sorted(after)
    assert len(set(before)) == len(before) == 3


def test_a_path_begins_at_the_repository(tmp_path: Path) -> None:
    """GitHub resolves it there, and a project may be a folder of a repository."""
    folder = tmp_path / "services" / "a database"
    folder.mkdir(parents=True)
    project = Project.copy(folder)
    project.add("018_index", INDEX)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (found,) = scan(project)["results"]
    uri = found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "services/a%20database/alembic/versions/018_index.py"


def test_from_a_database(project: Project, database: Database) -> None:
    """The same as without one, with the number of rows."""
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    project.add("018_index", INDEX)
    run = scan(project, "head", code=0, url=database.url)
    (found,) = run["results"]
    assert (found["level"], run["invocations"][0]["toolExecutionNotifications"]) == ("warning", [])
    assert found["message"]["text"].startswith("`leads` (no rows yet): Building")


def test_a_failure_writes_nothing(project: Project) -> None:
    """A log without results would close every alert."""
    done = project.run("migrate", "plan", "--sarif", "--offline", "017:099")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("unknown-revision: No revision is called `099`.")


@pytest.mark.parametrize("other", ["--json", "--markdown"])
def test_one_form_at_a_time(project: Project, other: str) -> None:
    done = project.run("migrate", "plan", "--sarif", other, "--offline", "017:head")
    assert done.returncode == 2
    assert "--sarif, --markdown and --json exclude each other" in done.stderr


def answer(**fields: Any) -> dict[str, Any]:
    finding = {"rule": "truncate", "level": "error", "revision": "018", "message": "See [it](x).", "help": "h"}
    known = {"plan": None, "ok": False, "revisions": [], "tables": [], "allowed": [], "linter": None}
    told = {"status": "success", "action": "plan", "message": "m", "direction": "upgrade", "findings": [finding]}
    return told | known | fields


def test_an_older_function_knows_no_place(capsys: pytest.CaptureFixture[str]) -> None:
    """GitHub takes no result without a file. A bracket must not begin a link."""
    assert console.show(answer(left_out="the SQL is left out"), "sarif") == console.NO
    out = capsys.readouterr()
    (run,) = json.loads(out.out)["runs"]
    (found,) = run["results"]
    assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "alembic.ini"
    assert found["message"]["text"] == "See \\[it](x). h"
    assert "the SQL is left out" in json.dumps(run["invocations"])
    assert "the SQL is left out" in out.err


def test_an_answer_of_another_version_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.show(answer(direction="sideways"), "sarif") == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert "another version" in out.err
