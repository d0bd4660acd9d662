"""Each error's next step, by a table: what can be typed or sent in each door, or why there is nothing to type."""

import ast
import dataclasses
import json
import re
import shlex
import typing
from collections.abc import Iterator
from typing import Any

import alembic.config
import pytest
import typer

from runner import cli, errors, next_step, payloads, policy
from runner.errors import MigrationError
from runner.next_step import Door, NextStep
from runner.output.command_line import as_typed
from support.project import ROOT

END = "`migrate end-session 12 --confirm 6b0d.c`"
SAME, CONFIRMED = "same", "same --confirm"
VALUES = {
    "AuthenticationFailed": {}, "ConfirmNeeded": {"at": "018_x"}, "PlanNeeded": {"target": "018_x"},
    "PlanStale": {"target": "018_x"},
    "DowngradeChanged": {"accepting": "`migrate repair 018_x`"},
    "HistoryChanged": {"accepting": "`migrate repair 018_x`", "can_redo": True},
    "HistoryContradicted": {"ways": "`migrate stamp 017_x`; or `migrate stamp 018_x`"},
    "LockHeld": {"ending": f"End it with {END}"}, "LockTimeout": {"ending": END},
    "SessionKept": {"remedy": "Look again with `migrate activity`."},
    "UnknownRevision": {"remedy": "List them with `migrate history`."},
}  # fmt: skip
"""What a case gives to an error whose step it knows; the other fields get a word."""
STEPS: dict[str, tuple[str, ...] | str] = {
    "ActionNotAllowed": "a setting of the environment, which its owner decides on",
    "AuthenticationFailed": (SAME,),
    "AwsRefused": "by what AWS refused; its sentence ends in the same command",
    "Blocked": (SAME,),
    "ConfirmNeeded": (CONFIRMED,),
    "ConnectionLost": (SAME,),
    "DatabaseFailed": "the server's log, or a GRANT, by the SQLSTATE",
    "DatabaseUnreachable": (SAME,),
    "DeadlinePassed": (SAME,),
    "DowngradeChanged": ("redo", "repair"),
    "Drift": "the schema is changed, or its difference accepted in a file, or another revision is named",
    "EmptyRevision": "the revision is to be written",
    "EnvironmentFailed": (SAME,),
    "FunctionFailed": "by how the function ended, in `aws/invoke.py`",
    "FunctionUnreachable": "by what AWS refused, in `aws/client_errors.py`",
    "HistoryChanged": ("redo", "repair", "check"),
    "HistoryContradicted": ("stamp", "stamp"),
    "ImageNotProven": "the state machine of the lower environment, which is no verb",
    "ImageRefused": "another image or environment, which is no verb",
    "InternalError": ("current",),
    "Interrupted": (SAME,),
    "InvalidIndexRemains": (SAME,),
    "InvalidPayload": "the fields that the verb has are listed",
    "InvalidSettings": "a setting, by its name",
    "LockHeld": ("end-session", SAME),
    "LockHeldTooLong": "the revision is to be written otherwise",
    "LockTimeout": ("end-session", SAME),
    "MixedRevision": "the revision is to be divided",
    "MultipleHeads": (SAME,),
    "PlanNeeded": ("plan", "upgrade"),
    "PlanStale": ("plan",),
    "PooledConnection": "another address of the database",
    "ReadOnlyDatabase": (SAME,),
    "RevisionFailed": (SAME,),
    "SessionEnded": (SAME,),
    "SessionKept": ("activity",),
    "StaleBranch": "`git merge`, then `migrate new`, which has no payload",
    "StoppedPromoting": (SAME,),
    "StoppedWaiting": ("current",),
    "TransactionEnded": (SAME,),
    "UnknownRevision": ("history",),
    "UntrustedObject": "the object is dropped or altered by a statement in the sentence",
    "UnversionedDatabase": (SAME,),
}
"""The steps that each error names, in their order, or why it names none."""
AT_ONCE = {"Interrupted", "SessionEnded", "StoppedPromoting"}
"""The errors after which the same command continues though nobody has done anything, and it does not fail so again."""
CALLS = {
    "upgrade": {"target": "head", "plan": "0123456789abcdef-x"}, "downgrade": {"target": "-1"},
    "redo": {"confirm": "017"}, "stamp": {"target": "head"}, "repair": {"target": "head"}, "plan": {"target": "+1"},
    "rehearse": {"max_lock_hold_ms": 500}, "end-session": {"pid": 12}, "history": {"limit": 2},
    "run-migration": {"target": "all"},
}  # fmt: skip

NEVER = {
    "ConfirmNeeded": CALLS.keys() - {"downgrade", "redo", "stamp", "repair", "end-session"},
    "LockHeld": {"end-session"}, "LockTimeout": {"end-session"},
}  # fmt: skip
"""The verbs that never fail so."""


def classes(kind: type[MigrationError] = MigrationError) -> list[type[MigrationError]]:
    """Return the runner's own errors: those of the agent are known here where a test has imported them."""
    found = [one for sub in kind.__subclasses__() for one in (sub, *classes(sub))]
    return [one for one in found if one.__module__ == errors.__name__ and hasattr(one, "hint")]


def made(kind: type[MigrationError]) -> MigrationError:
    """Return an error with a word for each of its fields, and its own values."""
    hints = typing.get_type_hints(kind)
    samples = {str: "x", int: 1, float: 1.0, bool: False}
    given: dict[str, Any] = {}
    for one in dataclasses.fields(kind):
        if one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING:
            continue
        kinds = [typing.get_origin(part) or part for part in (typing.get_args(hints[one.name]) or (hints[one.name],))]
        first = typing.get_origin(hints[one.name]) or kinds[0]
        given[one.name] = ["x"] if first is list else ("x", "y") if first is tuple else samples.get(kinds[0], "x")
    return kind(**{**given, **VALUES.get(kind.__name__, {})})


def steps(problem: MigrationError, same: NextStep) -> list[NextStep]:
    said: list[NextStep] = []
    next_step.spell(problem.advice, same, Door(lambda step: said.append(step)))
    return said


def test_the_table_is_whole() -> None:
    """Each error is in it, and no other."""
    assert set(STEPS) == {one.__name__ for one in classes()}


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if not isinstance(step, str)])
def test_each_step_can_be_typed_and_sent(name: str, verb: str) -> None:
    """In each door, whatever the call was that failed; and what it leads to is not the same failure at once."""
    same = NextStep(verb, CALLS[verb])
    problem = made(getattr(errors, name))
    confirm = {"confirm": "018_x"} if verb != "end-session" else {"confirm": "6b0d.c"}
    if verb in NEVER.get(name, ()):
        return
    if name == "ConfirmNeeded":
        problem.at = confirm["confirm"]
    confirmed = NextStep(verb, {**same.fields, **confirm})
    found = steps(problem, same)
    assert [
        SAME if one == same else CONFIRMED if name == "ConfirmNeeded" and one == confirmed else one.action
        for one in found
    ] == [SAME if one == verb and same in found else one for one in STEPS[name]]
    for step in found:
        can_be_typed(step)
        can_be_sent(step)
        can_be_asked_of_alembic(step)
    # nobody is sent in a circle: the same call has a condition, something to do first, or is safe at once
    if found == [same]:
        words = re.sub("the same command", "", problem.advice)
        assert name in AT_ONCE or len(re.findall(r"\w+", words)) > 4, problem.advice


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if isinstance(step, str)])
def test_what_names_no_step_names_none(name: str) -> None:
    """So that a reason in the table is not an excuse."""
    assert steps(made(getattr(errors, name)), NextStep("upgrade", {})) == []


def parsed(words: list[str]) -> dict[str, Any]:
    """Return the arguments of a command line, read by the real parser; a usage error is raised."""
    program: Any = typer.main.get_command(cli.app)
    with program.make_context("migrate", words) as outer:
        name, command, rest = program.resolve_command(outer, [*outer._protected_args, *outer.args])
        with command.make_context(name, rest, parent=outer) as inner:
            return {"action": name, **inner.params}


def can_be_typed(step: NextStep) -> None:
    for options in ([], ["--local"], ["--env", "dev"], ["--function", "arn:aws:lambda:eu-west-1:12:function:f:live"]):
        program, *words = shlex.split(step.command(options))
        assert program == "migrate"
        read = {name: as_typed(value) for name, value in parsed(words).items()}
        assert {name: read[name] for name in step.payload} == step.payload


def can_be_sent(step: NextStep) -> None:
    # the id of a plan that is yet to be made
    fields = {name: value for name, value in step.fields.items() if value != "ID"}
    payloads.parse(json.loads(next_step.as_payload(NextStep(step.action, fields))))
    asked = json.loads(next_step.as_input(step))
    payloads.parse(asked)
    route = (ROOT / "infra" / "migration.asl.json").read_text()
    assert step.action in policy.READING | policy.CHANGING
    assert f'"{asked["action"]}"' in route
    # the condition of the state `Route`
    assert asked["action"] != "run-migration"
    assert asked["action"] != "upgrade" or set(asked) <= {"action", "target", "actor"}


def can_be_asked_of_alembic(step: NextStep) -> None:
    command = next_step.alembic(["-c", "alembic.ini"]).write(step)
    if command is not None:
        read = alembic.config.CommandLine().parser.parse_args(shlex.split(command)[1:])
        assert read.cmd[0].__name__ == step.action
        guards = [f"{name}={step.fields[name]}" for name in ("confirm", "plan") if name in step.fields]
        assert (read.x or []) == guards


def commands_in_messages() -> Iterator[tuple[str, str]]:
    """Yield the file and each command in backticks in the runner's texts, with 12 for what is filled in."""
    for path in sorted((ROOT / "src" / "runner").rglob("*.py")):
        tree = ast.parse(path.read_text())
        inner = {id(part) for one in ast.walk(tree) if isinstance(one, ast.JoinedStr) for part in one.values}
        documented = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
        for one in ast.walk(tree):
            text = ""
            if isinstance(one, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "12" for part in one.values)
            elif isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in inner | documented:
                text = re.sub(r"\{\w*\}", "12", one.value)
            yield from ((path.name, command) for command in re.findall(r"`migrate ([^`\n]+)`", text))


def test_each_command_in_a_message_can_be_typed() -> None:
    """Also those that no payload has, and those that a sentence's own field brings."""
    found = {one for one in commands_in_messages() if one not in PUT_TOGETHER}
    assert len(found) > 25
    wrong = {}
    for file, command in sorted(found):
        try:
            parsed(shlex.split(command.partition(" > ")[0]))
        except Exception as error:  # noqa: BLE001 - all of them are listed
            wrong[file, command] = repr(error)
    assert wrong == {}


PUT_TOGETHER = {
    # the verb, too, is filled in; the tests of those places read the commands
    ("policy.py", "1212"), ("report.py", "12"), ("function.py", "12 current"),
    # named for what it takes: the words of a new revision, and the command that was meant
    *((name, "new") for name in ("check.py", "errors.py", "graph.py", "plan_end.py")), ("conninfo.py", "--local"),
    # what reads commands
    ("next_step.py", "(?P<command>[a-z][^"),
}  # fmt: skip
"""What is in backticks after `migrate` and is no whole command."""
