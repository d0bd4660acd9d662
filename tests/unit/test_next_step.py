"""The next step of a message, in the words of each door."""

import ast
import re

import pytest

from runner import next_step
from runner.aws import state_machine
from runner.aws.environments import Environment
from runner.next_step import NextStep
from support.project import ROOT

GOVERNMENT = "--state-machine-arn arn:aws-us-gov:states:us-gov-west-1:1:stateMachine:aurora-migrations-prod"
SAME = NextStep("downgrade", {"target": "-1", "plan": "0a"})
TEXT = (
    "Read `migrate plan 017`, then run the same command again, or the same command with `--confirm 018_x`; or "
    "`migrate end-session 12 --confirm 6b0d.c`, `migrate snapshot`, `select 1`, then repeat."
)
DOORS = {
    "a command": (
        next_step.command_line(["--env", "dev"], remote=True),
        "Read `migrate --env dev plan 017`, then run `migrate --env dev downgrade -1 --plan 0a` again, or "
        "`migrate --env dev downgrade -1 --plan 0a --confirm 018_x`; or "
        "`migrate --env dev end-session 12 --confirm 6b0d.c`, `migrate snapshot`, `select 1`, "
        "then run `migrate --env dev downgrade -1 --plan 0a`.",
    ),
    "a payload": (
        next_step.PAYLOAD,
        'Read `{"action":"plan","target":"017"}`, then run `{"action":"downgrade","target":"-1","plan":"0a"}` again, '
        'or `{"action":"downgrade","target":"-1","plan":"0a","confirm":"018_x"}`; or '
        '`{"action":"end-session","pid":12,"confirm":"6b0d.c"}`, `migrate snapshot`, `select 1`, '
        'then run `{"action":"downgrade","target":"-1","plan":"0a"}`.',
    ),
    "Alembic": (
        next_step.alembic(["-c", "x.ini"]),
        "Read `migrate plan 017`, then run `alembic -c x.ini -x plan=0a downgrade -1` again, or "
        "`alembic -c x.ini -x confirm=018_x -x plan=0a downgrade -1`; or "
        "`migrate end-session 12 --confirm 6b0d.c`, `migrate snapshot`, `select 1`, "
        "then run `alembic -c x.ini -x plan=0a downgrade -1`.",
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_each_door_has_its_words(door: str) -> None:
    words, expected = DOORS[door]
    assert next_step.spell(TEXT, SAME, words) == expected


def test_each_door_has_its_options() -> None:
    """A payload has other names for them, or none, and `--timeout` limits only the waiting for a function."""
    more = "Again with more time (`--timeout`, or the function's), a larger `--max-lock-hold-ms`, or `--confirm`."
    words = {"`--timeout`": "the function's time-out", "`--max-lock-hold-ms`": "`max_lock_hold_ms`"}
    for door, expected in (
        (next_step.command_line(), [*words]),
        (next_step.command_line(["--env", "dev"], remote=True), [words["`--timeout`"], "`--max-lock-hold-ms`"]),
        (next_step.PAYLOAD, [*words.values()]),
        (next_step.STATE_MACHINE, [*words.values()]),
        (next_step.alembic(), ["`--timeout` of `migrate`", "`--max-lock-hold-ms`"]),
    ):
        time, hold = expected
        assert next_step.spell(more, None, door) == f"Again with more time ({time}), a larger {hold}, or `--confirm`."


def test_the_state_machine_makes_the_plan_of_an_upgrade() -> None:
    """It refuses an upgrade with other fields, and `run-migration` where a plan is required; the rest is handed on."""
    upgrade = NextStep("upgrade", {"target": "017", "plan": "0a"})
    said = next_step.spell(
        "Run the same command again, then `migrate end-session 12`.", upgrade, next_step.STATE_MACHINE
    )
    assert said == 'Run `{"action":"upgrade","target":"017"}` again, then `{"action":"end-session","pid":12}`.'
    older = NextStep("run-migration", {"target": "all"})
    assert next_step.as_input(older) == '{"action":"upgrade","target":"head"}'


REPEATED = re.compile(r"\b[Rr]epeat\b|\brun (?:it|the command) again|[Pp]lan again|[Tt]ry again")


def test_each_repetition_is_a_step() -> None:
    """A sentence that asks for the same call again asks in the words that each door writes as a command."""
    found = []
    for path in (ROOT / "src" / "runner").rglob("*.py"):
        tree = ast.parse(path.read_text())
        documented = {id(part.value) for part in ast.walk(tree) if isinstance(part, ast.Expr)}
        texts = [one for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        found += [
            (path.name, one.value)
            for one in texts
            if id(one) not in documented and REPEATED.search(one.value.replace(next_step.REPEAT, ""))
        ]
    # a function of PostgreSQL's, and the end of a plan that no verb made
    assert set(found) == {("functions.py", "repeat"), ("plan_end.py", "plan again")}


def test_an_answer_is_changed_where_it_names_commands() -> None:
    """Not in SQL or in what a revision says."""
    answer = {
        "hint": "Run `migrate check`.", "text": "`migrate check`", "findings": [{"help": "`migrate check`", "n": 1}],
        "warnings": ["`migrate check`"], "sql": ["`migrate check`"], "next": None,
    }  # fmt: skip
    said = next_step.spell_all(answer, None, next_step.PAYLOAD)
    check = '`{"action":"check"}`'
    assert said == {
        **answer, "hint": f"Run {check}.", "findings": [{"help": check, "n": 1}], "warnings": [check],
    }  # fmt: skip


def test_what_is_no_whole_command_stays() -> None:
    for text in ("`migrate upgrade --plan`", "`migrate heads x`", "`migrate new`", "`migrate`", "`migrate o'brien`"):
        assert next_step.spell(text, None, next_step.PAYLOAD) == text
        assert next_step.only(text, None) is None


def test_a_program_gets_a_step_where_there_is_one_to_take() -> None:
    """Not its own call again, nor one of several between which a person decides."""
    for text, payload in (
        ("Run the same command with `--confirm 018`.", {**SAME.payload, "confirm": "018"}),
        ("List them with `migrate history`.", {"action": "history"}),
        ("Correct the file, then run the same command again.", None),
        ("Put the old text back; or `migrate redo`; or `migrate repair 018`.", None),
    ):
        step = next_step.only(text, SAME)
        assert (step.payload if step else None) == payload


@pytest.mark.parametrize(
    ("environment", "environ", "written"),
    [
        ({"aws_profile": "corp"}, {}, '--region "$(aws --profile corp configure get region)"'),
        ({}, {"AWS_DEFAULT_REGION": "sa-east-1"}, "--region sa-east-1"),
        ({"region": "us-east-1"}, {"AWS_REGION": "sa-east-1"}, "--region us-east-1"),
        ({"function": "arn:aws-us-gov:lambda:us-gov-west-1:1:function:f", "region": "us-gov-west-1"}, {}, GOVERNMENT),
    ],
    ids=["the profile's", "the variable of the SDK", "the file's", "another partition"],
)
def test_the_state_machine_is_where_the_function_is(
    environment: dict[str, str], environ: dict[str, str], written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    known = {"option": "--env prod", "function": "runner", "protected": "prod"}
    command = state_machine.start(Environment(**{**known, **environment}), SAME)
    assert f"{written} " in command
