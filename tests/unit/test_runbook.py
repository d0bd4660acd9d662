"""The operators' runbook cannot be false: its codes, messages, commands and payloads are those of the programs.

Only its Portuguese is not compared with anything.
"""

import json
import re
import shlex
import subprocess
from collections import Counter
from typing import Any

import alembic.config
import botocore.session
import pytest
import typer.main
from botocore import xform_name

import dispatch_agent.cli
import runner.cli
from dispatch_agent import request, upkeep
from runner import next_step, payloads, policy
from runner.next_step import NextStep
from support import forms, runbook
from support.project import ROOT
from support.runbook import Section, Step

DEFINITION = (ROOT / "infra" / "migration.asl.json").read_text("utf-8")
ALARMS = dict(forms.keywords(ROOT / "infra" / "alarms.py", "name", "says"))
ENDS = {name.removeprefix("…") for name in ALARMS}
SECTIONS = list(runbook.sections())
ENTRIES = [one for one in SECTIONS if one.code]
CODES = {kind.code for kind in forms.kinds()}
# Those in its text, and one for each question whose answer can be no.
OF_MACHINE = set(re.findall(r'(?:"Error": "|--error )([a-z]+(?:-[a-z]+)*)', DEFINITION)) - CODES
OF_MACHINE |= {"check-failed", "plan-failed", "rehearse-failed"}
STATUSES = {"partial"}
COMMAND = re.compile(r"`((?:migrate|dispatch-agent|alembic) [^`]+)`|^((?:migrate|dispatch-agent|alembic) .+)$", re.M)
PAYLOAD = re.compile(r'\{"(?:action|tenantId)"[^`\n\']*\}')
SHELLS = ["bash", "powershell"]
APPS = {"migrate": runner.cli.app, "dispatch-agent": dispatch_agent.cli.app}
AGENTS = runbook.section("O agente").steps
STEPS = [step for one in SECTIONS for step in one.steps if step not in AGENTS]
AWS = botocore.session.get_session()
OF_CLIENT = {"--query", "--output", "--cli-read-timeout", "--since"}
"""Options of `aws` that are no fields of a request."""


def commands() -> list[str]:
    """Return each command of ours in the document, those of the messages it shows too."""
    return [one or other for one, other in COMMAND.findall(runbook.TEXT)]


def of_agent(payload: dict[str, Any]) -> bool:
    return payload.get("action", upkeep.DRY_RUN) in upkeep.VERBS


def parse(command: str) -> None:
    """Parse a command as its program does; raises or exits where it would not begin."""
    program, *words = shlex.split(command)
    if program == "alembic":
        alembic.config.CommandLine().parser.parse_args(words)
        return
    group: Any = typer.main.get_command(APPS[program])
    context = group.make_context(program, words)
    (verb,) = context._protected_args
    group.commands[verb].make_context(verb, list(context.args), parent=context)


def test_every_code_has_one_entry() -> None:
    """What the programs, the state machine and the alarms say; and no entry is about something else."""
    assert len(CODES) >= 40
    assert {"plan-with-errors", "approval-expired", "refused", "unfinished"} <= OF_MACHINE
    assert len(ENDS) >= 13
    assert Counter(one.code for one in ENTRIES) == dict.fromkeys(CODES | OF_MACHINE | STATUSES | ENDS, 1)


def test_an_entry_is_short_and_like_the_others() -> None:
    """What is seen, what has happened, what to do, and how success looks."""
    for entry in ENTRIES:
        assert entry.body.startswith("\n```text\n"), entry.code
        labels = re.findall(r"^- \*\*(.+):\*\*", entry.body, re.M)
        assert labels == ["O que houve", "Faça", "Deu certo"], entry.code
        assert len(runbook.FENCE.sub("", entry.body).split()) <= 140, entry.code


def test_a_step_says_how_success_looks() -> None:
    """Each section in which something is typed; the three questions tell what their answers mean."""
    typed = [one for one in SECTIONS if one.steps or any(language in SHELLS for language, _ in one.blocks)]
    assert [one.heading for one in typed if "**Deu certo:**" not in one.body] == ["As três perguntas"]


@pytest.mark.parametrize("entry", [one for one in ENTRIES if one.code in CODES | STATUSES], ids=lambda one: one.code)
def test_what_is_seen_is_what_a_program_writes(entry: Section) -> None:
    """Each line is the beginning of a message, and each error with the code has a line."""
    of_code = [kind for kind in forms.kinds() if kind.code == entry.seen[0].partition(":")[0]]
    shown = {forms.form(line) for line in entry.seen}
    assert shown <= set().union(*map(forms.messages, of_code))
    if entry.code in CODES:
        assert [kind for kind in of_code if not shown & forms.messages(kind)] == []


@pytest.mark.parametrize("code", sorted(OF_MACHINE))
def test_what_is_seen_is_what_the_state_machine_writes(code: str) -> None:
    (line,) = runbook.section(code).seen
    assert line.startswith(f"{code}: ")
    assert [part for part in line.removeprefix(f"{code}: ").split("…") if part.strip() not in DEFINITION] == []


@pytest.mark.parametrize("end", sorted(ENDS))
def test_what_is_seen_is_what_an_alarm_says(end: str) -> None:
    (line,) = runbook.section(end).seen
    assert forms.form(ALARMS[f"…{end}"]).startswith(forms.form(line))


def test_the_index_names_every_entry_in_its_group() -> None:
    index = runbook.section("Índice por código").body
    rows = [re.findall(r"\[`([^`]+)`\]\(#([^)]+)\)", row) for row in index.splitlines() if row.startswith("| ")][1:]
    assert all(code == anchor for row in rows for code, anchor in row)
    groups: list[list[str]] = []
    for one in SECTIONS:
        if one.code:
            groups[-1].append(one.code)
        else:
            groups.append([])
    assert [sorted(code for code, _ in row) for row in rows] == [sorted(group) for group in groups if group]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_can_be_typed(command: str) -> None:
    parse(command)


def test_a_misspelt_command_cannot() -> None:
    for command in ("migrate --env dev upgrad", "migrate activity --pid 1", "dispatch-agent purge"):
        with pytest.raises((KeyError, typer.TyperException)):
            parse(command)


def test_each_payload_can_be_sent() -> None:
    """To the function whose verb it has; an unknown field or a value that is refused raises."""
    found = [json.loads(text) for text in PAYLOAD.findall(runbook.TEXT)]
    assert len(found) >= 45
    for payload in found:
        if not of_agent(payload):
            payloads.parse(payload)
        elif "action" in payload:
            upkeep.parse(payload)
        else:
            request.parse(payload)


@pytest.mark.parametrize("step", STEPS, ids=lambda one: one.command)
def test_a_step_is_the_same_through_each_door(step: Step) -> None:
    """A command of a row is its payload, and the row says what `prod` requires for it."""
    payload = json.loads(step.payload)
    same = next_step.of_call(payload)
    assert same is not None
    assert same.command(["--env", "dev"]) == step.command
    assert step.there == required_there(same, payload)


def required_there(step: NextStep, payload: dict[str, Any]) -> str:
    if step.action not in policy.PROTECTED:
        return runbook.ALLOWANCE
    if step.action in policy.READING:
        return "sim"
    # the state machine makes the plan, and takes no other field
    assert payload.keys() <= {"action", "target", "actor"}
    return "com aprovação"


@pytest.mark.parametrize("step", AGENTS, ids=lambda one: one.command)
def test_a_step_of_the_agent_is_the_same_through_each_door(step: Step) -> None:
    """A command of a row has the fields of its payload, and the function takes the verb."""
    payload = json.loads(step.payload)
    verb = upkeep.action(payload)
    assert step.command.split()[3] == verb
    values = [str(value) for key, value in payload.items() if key != "action" and value is not True]
    assert [word for word in shlex.split(step.command)[4:] if not word.startswith("--")] == values
    stack = {"`…-dry-run`": "agent_stack.py", "`…-purge`": "purge_stack.py"}[step.there]
    allowed = re.findall(r'"ALLOWED_ACTIONS": "([a-z,-]+)"', (ROOT / "infra" / stack).read_text("utf-8"))
    assert verb in allowed[0].split(",")


def test_in_prod_nothing_is_asked_that_is_refused() -> None:
    """Nobody invokes the runner there; the state machine is asked for what is allowed by default."""
    assert not re.search(r"runner-prod:live|`migrate [^`]*--env prod", runbook.TEXT)
    asked = re.findall(r"perguntar prod '(\{.+?\})'", runbook.TEXT)
    assert len(asked) >= 5
    assert {json.loads(event)["action"] for event in asked} <= policy.PROTECTED


def test_what_prod_refuses_is_said_to_be_refused() -> None:
    """In a row of the entry's table, or by the setting that allows it."""
    for entry in ENTRIES:
        advice = entry.body.partition("**Faça:**")[2].partition("\n- **")[0]
        named = {words.removeprefix("migrate --env dev ").split()[0] for words in re.findall(r"`([^`{]+)`", advice)}
        said = runbook.ALLOWANCE in advice or "`ALLOWED_ACTIONS`" in advice
        assert said or not named & (payloads.KINDS.keys() - policy.PROTECTED), entry.code


def test_a_command_without_a_row_only_reads() -> None:
    """So that it can be asked in `prod` too; `doctor` has no payload."""
    beside = "\n".join(line for line in runbook.TEXT.splitlines() if not line.startswith("| "))
    verbs = set(re.findall(r"`migrate --env dev ([a-z-]+)", beside))
    assert len(verbs) >= 4
    assert verbs <= policy.READING & policy.PROTECTED | {"doctor"}


def test_the_list_for_an_allowance_is_the_default_and_one_more() -> None:
    assert set(runbook.allowed().split(",")) == policy.PROTECTED | {"end-session"}


def test_both_shells_send_the_same() -> None:
    """A block for bash has its twin for PowerShell right behind it."""
    blocks = [one for section in SECTIONS for one in section.blocks if one[0] != "text"]
    assert [shell for shell, _ in blocks] == SHELLS * (len(blocks) // 2)
    for (_, bash), (_, powershell) in zip(blocks[::2], blocks[1::2], strict=True):
        assert sent(bash) == sent(powershell)
        subprocess.run(["bash", "-n"], input=bash, text=True, check=True)


def sent(block: str) -> list[str]:
    """Return what a block of either shell asks for, without what they write in ways of their own."""
    plain = re.sub(r"\"|'|--payload|--input", "", block)
    if "{\n" in block:
        # the functions, whose variables have each shell's form
        return re.findall(r"aws (?:[a-z-]+) (?:[a-z-]+)|(?<=\s)--[a-z][a-z-]*", plain)
    return plain.splitlines()


def test_each_request_to_aws_has_fields_that_there_are() -> None:
    """Of the services as boto3 knows them; `logs tail` is the client's own."""
    text = "\n".join(text for one in SECTIONS for shell, text in one.blocks if shell in SHELLS)
    calls = set(re.findall(r"aws (?!logs tail)([a-z]+) ([a-z-]+)([^()|\n]*)", text))
    assert len(calls) >= 15
    for service, name, rest in calls:
        model = AWS.get_service_model(service)
        operation = {xform_name(one, "-"): one for one in model.operation_names}[name]
        shape: Any = model.operation_model(operation).input_shape
        known = {f"--{xform_name(member, '-')}" for member in (shape.members if shape else ())} | OF_CLIENT
        assert set(re.findall(r"(?<=\s)--[a-z][a-z0-9-]*", rest)) <= known, name


def test_every_alarm_of_the_deployment_leads_to_its_entry() -> None:
    """In the document about AWS, by the end of its name, which is what the e-mail shows."""
    linked = re.findall(
        r"\[`(-[a-z-]+)`\]\(runbook\.pt-BR\.md#(-[a-z-]+)\)", (ROOT / "docs" / "aws.md").read_text("utf-8")
    )
    assert Counter(linked) == {(end, end): 1 for end in ENDS}
