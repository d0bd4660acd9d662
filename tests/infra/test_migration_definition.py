"""The state machine of a migration, as it is written: what holds of every path, whether or not a test has gone it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import cfnlint.api
import jsonata
import pytest

from runner import errors, payloads, policy
from support import state_machine

VALUES = {
    "NewVersion": "arn:aws:lambda:us-east-1:123456789012:function:aurora-migrations-runner-prod:7",
    "NewVersionNumber": "7",
    "Function": "aurora-migrations-runner-prod",
    "Live": "arn:aws:lambda:us-east-1:123456789012:function:aurora-migrations-runner-prod:live",
    "Topic": "arn:aws:sns:us-east-1:123456789012:migrations",
    "Environment": "prod",
    "ApprovedParameter": "/aurora-migrations/prod/approved-digest",
    "Digest": f"sha256:{'7' * 64}",
}
TEXT = state_machine.DEFINITION.read_text()
LAMBDA = "arn:aws:states:::lambda:invoke"
CHANGING = {"MoveAlias", "Upgrade", "Change"}
NOT_READY = {"Lambda.ResourceConflictException", "Lambda.ResourceNotReadyException"}
NOTHING_CHANGES = "{% $plan.revisions = 0 and $alias.version = '7' %}"
# What may have been done although the answer is an error of these.
AMBIGUOUS = {"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "States.ALL"}

FIELDS: dict[str, dict[str, object]] = {
    "downgrade": {"target": "-1"}, "end-session": {"pid": 4711, "confirm": "692c1f3a.1267"},
    "run-migration": {"target": "all"}, "stamp": {"target": "017"},
}  # fmt: skip
"""What these verbs require."""

States = dict[str, Any]


@pytest.fixture
def states() -> States:
    return _states("true")


def test_the_substitutions_are_those_of_the_stack() -> None:
    """Nothing else of the text looks like one, and each value is taken in as it stands."""
    assert {found[1] for found in state_machine.PLACE.finditer(TEXT)} == {*VALUES, "Protected"}
    assert "${" not in state_machine.PLACE.sub("", TEXT)


def test_cfn_lint_takes_it() -> None:
    """The schema that AWS has for it finds nothing, and finds a misspelt field."""
    assert _lint(state_machine.define(**VALUES, Protected="true")) == []
    wrong = state_machine.define(**VALUES, Protected="true")
    wrong["States"]["Plan"]["Nxt"] = wrong["States"]["Plan"].pop("Next")
    assert {found.rule.id for found in _lint(wrong)} == {"E3601"}


def test_every_state_is_reached_and_ends(states: States) -> None:
    """From the first state all others can be come to, and from each of them an end."""
    graph = {name: set(_next(state)) for name, state in states.items()}
    assert _reached(graph, "Begin") == graph.keys()
    ends = {name for name, state in states.items() if state["Type"] in ("Succeed", "Fail")}
    assert all(_reached(graph, name) & ends for name in graph)


def test_every_task_is_caught_bounded_and_explained(states: States) -> None:
    """Whatever a task says goes to a letter; only one about the letter itself goes straight to the end."""
    told = {"TellSuccess": "Done", "TellFailure": "Failed"}
    for name, state in _tasks(states):
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
        assert {catch["Next"] for catch in state["Catch"]} == {told.get(name, "WriteFailure")}, name
        assert state["TimeoutSeconds"] <= (3 * 24 * 3600 if name == "Approve" else 960), name
        assert name == "TellFailure" or state["Comment"], name


def test_only_what_may_be_repeated_is_repeated(states: States) -> None:
    """Throttling is tried again everywhere, so is a version that is not ready; what may be done only without harm."""
    for name, state in _tasks(states):
        again = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
        if state["Resource"] == LAMBDA or "lambda" in state["Resource"]:
            assert "Lambda.TooManyRequestsException" in again, name
        assert again >= NOT_READY if state["Resource"] == LAMBDA else not again & NOT_READY, name
        assert bool(again & AMBIGUOUS) is (name in {"ReadAlias", "Plan", "Upgrade", "Check", "Read"}), name
        assert not again & {"States.ALL", "States.TaskFailed", "States.Timeout"}, name


def test_an_alias_may_take_a_moment_to_settle(states: States) -> None:
    """Only an upgrade follows the move of the alias at once; what the version before answers is asked again."""
    raised = [errors.UnknownRevision.__name__, errors.PlanStale.__name__]
    settling = {"ErrorEquals": raised, "IntervalSeconds": 5, "MaxAttempts": 2, "BackoffRate": 1}
    assert [name for name, state in _tasks(states) if settling in state["Retry"]] == ["Upgrade"]


@pytest.mark.parametrize(("protected", "asked"), [("true", True), ("", True), ("false", False)])
def test_where_it_is_protected_nothing_changes_without_approval(protected: str, asked: bool) -> None:
    """No path leads around the approval to the alias or the database, unless neither changes; elsewhere none to it."""
    states = _states(protected)
    (unchanged,) = (rule for rule in states["Planned"]["Choices"] if rule["Next"] == "Upgrade")
    assert unchanged["Condition"] == NOTHING_CHANGES
    states["Planned"]["Choices"].remove(unchanged)
    graph = {name: set(_next(state, protected=asked)) for name, state in states.items()}
    assert ("Approve" in _reached(graph, "Begin")) is asked
    around = {name: nexts - {"Approve"} for name, nexts in graph.items()}
    assert bool(_reached(around, "Begin") & CHANGING) is not asked
    assert graph["Approved"] == {"WriteFailure", "MoveAlias", "Change"}


def test_variables_are_assigned_before_they_are_used(states: States) -> None:
    """On every path, for a variable that is not there fails a state that has no Catch."""
    known: dict[str, set[str]] = {}
    todo = [("Begin", set())]
    while todo:
        name, before = todo.pop()
        now = before if name not in known else known[name] & before
        if known.get(name) == now:
            continue
        known[name] = now
        todo += [(after, now | assigned) for after, assigned in _moves(states[name])]
    for name, state in states.items():
        assert _used(state) <= known[name], name


def test_the_expressions_are_jsonata(states: States) -> None:
    """Each can be parsed, and keeps to what Step Functions takes: neither `$eval` nor the root."""
    found = [text for text in _texts(states) if "{%" in text]
    for text in found:
        assert re.fullmatch(r"\{%.*%\}", text, re.DOTALL), text
        jsonata.Jsonata(text[2:-2])
        assert not re.search(r"\$eval\b|\$\$|\$(?!\w)", re.sub(r"'[^']*'|/\^.*?/", "", text)), text
    assert len(found) > 50


def test_the_actions_are_those_of_the_runner(states: States) -> None:
    """What reads and what changes is said in the runner; here it is only repeated."""
    assigned = states["Begin"]["Assign"]
    assert set(assigned["reading"]) == policy.READING
    assert set(assigned["changing"]) == policy.CHANGING


@pytest.mark.parametrize("action", sorted(policy.CHANGING - {"upgrade"}))
def test_a_change_is_a_payload_of_its_verb(states: States, action: str) -> None:
    """What the state machine adds to its input are fields that the verb takes."""
    given = {"action": action, **FIELDS.get(action, {})}
    expression = jsonata.Jsonata(states["Change"]["Arguments"]["Payload"].removeprefix("{%").removesuffix("%}"))
    for name, value in {
        "execution": {"name": "9f31"},
        "request": {"action": action, "actor": "ana"},
        "approval": {"by": "rui"},
        "states": {"context": {"Execution": {"Input": given}}},
    }.items():
        expression.assign(name, value)
    sent = expression.evaluate(None)
    assert sent.items() >= given.items()
    assert sent["actor"] == "ana, approved by rui"
    assert payloads.parse(sent).on_error == "raise"


def test_no_state_keeps_the_sql(states: States) -> None:
    """Of an answer the upgrade keeps named fields; only who asked for an answer gets the whole."""
    for name, state in _tasks(states):
        kept = json.dumps([state.get("Assign"), state["Output"]])
        whole = re.findall(r"\$states\.result(?!\.Payload\.\w|\.\w+\b(?<!Payload))", kept)
        assert bool(whole) is (name in ("Read", "Change")), name
        assert "Payload.revisions" not in kept, name


def test_a_subject_fits(states: States) -> None:
    """SNS takes less than 100 characters of ASCII, in one line."""
    subjects = [state["Arguments"]["Subject"] for _, state in _tasks(states) if "Subject" in state["Arguments"]]
    assert len(subjects) == 3
    for subject in subjects:
        assert subject.isascii()
        assert len(subject) < 60, "40 are left for the environment's name"


def _states(protected: str) -> States:
    states: States = state_machine.define(**VALUES, Protected=protected)["States"]
    return states


def _lint(definition: dict[str, Any]) -> list[Any]:
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/migrations", "Definition": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    found: list[Any] = cfnlint.api.lint(json.dumps({"Resources": {"Migration": machine}}))
    return found


def _tasks(states: States) -> Iterator[tuple[str, Any]]:
    return ((name, state) for name, state in states.items() if state["Type"] == "Task")


def _next(state: Any, protected: bool | None = None) -> Iterator[str]:
    """Yield where a state may lead; knowing whether it is protected, only where it leads there."""
    for rule in state.get("Choices", []):
        asks = "!= 'false' %}" in rule["Condition"]
        if asks and protected is False:
            continue
        yield rule["Next"]
        if asks and protected is True:
            return
    yield from (catch["Next"] for catch in state.get("Catch", []))
    yield from (state[field] for field in ("Next", "Default") if field in state)


def _moves(state: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield where a state may lead, with the variables that are assigned on the way there."""
    for rule in [*state.get("Choices", []), *state.get("Catch", [])]:
        yield rule["Next"], set(rule.get("Assign", ()))
    for field in ("Next", "Default"):
        if field in state:
            yield state[field], set(state.get("Assign", ()))


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    seen, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph[name]
    return seen


def _used(state: Any) -> set[str]:
    """Return the variables that a state's expressions read; functions and their own names are none."""
    used = set()
    for text in _texts(state):
        if text.startswith("{%"):
            parameters = "".join(re.findall(r"function\((.*?)\)", text))
            own = {"states", *re.findall(r"\$(\w+) :=", text), *re.findall(r"\$(\w+)", parameters)}
            used |= set(re.findall(r"\$(\w+)\b(?!\()", text)) - own
    return used


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
