"""The operators' runbook knows every code, and each step in both shells."""

import re

import pytest

import dispatch_agent.failure
import dispatch_agent.request
import dispatch_agent.tenants
import dispatch_agent.turn
from runner.errors import MigrationError
from support.project import ROOT

RUNBOOK = (ROOT / "docs" / "runbook.pt-BR.md").read_text()
DEFINITION = (ROOT / "infra" / "migration.asl.json").read_text()
AGENTS = (dispatch_agent.failure, dispatch_agent.request, dispatch_agent.tenants, dispatch_agent.turn)


def codes(kind: type[MigrationError]) -> set[str]:
    own = {kind.code} if "code" in vars(kind) else set()
    return own.union(*(codes(one) for one in kind.__subclasses__()))


def test_every_code_is_explained() -> None:
    """What either program answers has a row, and no row is about a code that there is not."""
    known = codes(MigrationError)
    assert len(known) >= 30
    table = RUNBOOK[RUNBOOK.index("## 10.") : RUNBOOK.index("## 11.")]
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", table, re.MULTILINE)
    listed = set(re.findall(r"`([a-z-]+)`", " ".join(rows)))
    assert listed - {"invalid-index"} == known - {"invalid-index"}


def test_every_error_of_the_state_machine_is_explained() -> None:
    own = set(re.findall(r'"Error": "([a-z]+(?:-[a-z]+)*)"', DEFINITION))
    assert {"plan-with-errors", "approval-expired"} <= own
    for error in own:
        assert f"`{error}`" in RUNBOOK, error


def test_every_alarm_is_explained() -> None:
    """By the end of its name, which is what the e-mail shows."""
    source = (ROOT / "infra" / "alarms.py").read_text()
    ends = set(re.findall(r'name=f"\{\w+\}(-[a-z-]+)"', source))
    assert len(ends) >= 7
    assert set(re.findall(r"^\| `(-[a-z-]+)` \|", RUNBOOK, re.MULTILINE)) == ends


@pytest.mark.parametrize("chapter", re.findall(r"^## .*?(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
def test_each_step_is_there_for_both_shells(chapter: str) -> None:
    """A step in bash has its twin in PowerShell right behind it, which asks for the same."""
    blocks = re.findall(r"^```(bash|powershell)\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL)
    assert [shell for shell, _ in blocks] == ["bash", "powershell"] * (len(blocks) // 2)
    for (_, bash), (_, powershell) in zip(blocks[::2], blocks[1::2], strict=True):
        assert events(bash) == events(powershell)


def events(block: str) -> list[str]:
    """Return what a block sends."""
    return re.findall(r'\{"action".*?\}|\{"tenantId".*?\}', block)
