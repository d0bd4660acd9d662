"""The next step of a message, in the words of each door."""

import ast
import dataclasses
import re
import typing

import pytest

from runner import errors, next_step, payloads
from runner.errors import MigrationError
from runner.next_step import Door, NextStep
from support.project import ROOT

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
# What their hints name is done outside of the tool, or depends on the case and is in a field.
OUTSIDE = {
    "ActionNotAllowed", "AuthenticationFailed", "AwsRefused", "Blocked", "DatabaseFailed", "DatabaseUnreachable",
    "Differs", "Drift", "EmptyRevision", "FunctionFailed", "FunctionUnreachable", "HistoryContradicted",
    "ImageNotProven", "ImageRefused", "InvalidPayload", "InvalidSettings", "LockHeldTooLong", "MixedRevision",
    "MultipleHeads", "PooledConnection", "ReadOnlyDatabase", "SessionKept", "StaleBranch", "StoppedWaiting",
    "UnknownRevision", "UntrustedObject",
}  # fmt: skip


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


def classes(kind: type[MigrationError] = MigrationError) -> list[type[MigrationError]]:
    """Return the runner's own errors: those of the agent are known here where a test has imported them."""
    found = [one for sub in kind.__subclasses__() for one in (sub, *classes(sub))]
    return [one for one in found if one.__module__ == errors.__name__]


def made(kind: type[MigrationError]) -> MigrationError:
    """Return an error with a word for each of its fields."""
    hints = typing.get_type_hints(kind)
    samples = {str: "x", int: 1, float: 1.0, bool: False}
    given = {}
    for one in dataclasses.fields(kind):
        if one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING:
            continue
        kinds = [typing.get_origin(part) or part for part in (typing.get_args(hints[one.name]) or (hints[one.name],))]
        first = typing.get_origin(hints[one.name]) or kinds[0]
        given[one.name] = ["x"] if first is list else ("x", "y") if first is tuple else samples.get(kinds[0], "x")
    return kind(**given)


@pytest.mark.parametrize("name", sorted(one.__name__ for one in classes() if hasattr(one, "hint")))
def test_each_error_names_a_step_that_can_be_sent(name: str) -> None:
    """Or what is to be done outside of the tool; a command in a hint is never only half a one."""
    problem = made(getattr(errors, name))
    same = NextStep("downgrade", {"target": "-1"})
    said: list[NextStep] = []
    next_step.spell(problem.advice, same, Door(lambda step: said.append(step)))
    assert bool(said) or name in OUTSIDE, problem.advice
    for step in said:
        # the id of a plan that is yet to be made
        if step.fields.get("plan") != "ID":
            payloads.parse(step.payload)
    for command in re.findall(r"`migrate ([^`]*)`", next_step.spell(problem.advice, same, next_step.PAYLOAD)):
        # what is left are commands of the machine that has the files, which are no verbs
        assert command.split()[0] in {"new", "snapshot", "promote", "current", "{there}", "x"}, problem.advice
