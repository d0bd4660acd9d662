"""The findings of a plan as SARIF 2.1.0, the format that GitHub's code scanning reads.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from runner import __version__
from runner.answer import Answer, Json
from runner.output import rule_texts
from runner.results import Finding, PlanResult, estimated

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
LINK = re.compile(r"\[(?=[^\]]*\]\()")
"""The bracket that begins a link in a message."""


def document(answer: Answer, plan: PlanResult, project: Path) -> Json:
    """Return the findings of a plan as a SARIF log with one run; `project` is the folder of the project here.

    An allowed finding is a note with a suppression: GitHub ignores suppressions, and would show an error.
    """
    found = [*plan.findings, *plan.allowed]
    rules = sorted({finding.rule for finding in found})
    folder = _folder_in_repository(project)
    run = {
        "tool": {"driver": {
            "name": "migrate",
            "semanticVersion": __version__,
            "rules": [_rule(rule) for rule in rules],
        }},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _notifications(answer, plan)}],
        "results": [
            _result(one, rules.index(one.rule), folder) | {"partialFingerprints": {"finding/v1": known}}
            for one, known in zip(found, _fingerprints(found), strict=True)
        ],
    }  # fmt: skip
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: str) -> Json:
    """Return the description of a rule, which is the same in each log; the level of a finding is in its result."""
    text, words = rule_texts.describe(rule), rule.replace("-", " ")
    described: dict[str, Json] = {
        "id": rule,
        "shortDescription": {"text": f"{words[:1].upper()}{words[1:]}"},
        "fullDescription": {"text": text.sentence},
        "help": {"text": text.page},
    }
    return described | ({"helpUri": text.address} if text.address is not None else {})


def _result(finding: Finding, rule: int, folder: PurePosixPath) -> Json:
    told = f"{_table(finding)}{finding.message} {finding.help}".strip()
    result = {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": "note" if finding.reason else finding.level,
        "message": {"text": _escape(told)},
        "locations": [{"physicalLocation": _place(finding, folder)}],
    }
    if finding.reason:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.reason}]
    return result


def _table(finding: Finding) -> str:
    if finding.table is None:
        return ""
    rows = "" if finding.rows is None else f" ({estimated(finding.rows)})"
    return f"`{finding.table}`{rows}: "


def _escape(text: str) -> str:
    # in a message `[text](place)` is a link
    return LINK.sub(r"\\[", text)


def _place(finding: Finding, folder: PurePosixPath) -> Json:
    # an older function knows no file: GitHub takes no result without one, and each project has this one
    path = posixpath.normpath(folder / (finding.path or "alembic.ini"))
    place: dict[str, Json] = {"artifactLocation": {"uri": quote(path), "uriBaseId": "%SRCROOT%"}}
    return place | {"region": {"startLine": finding.line or 1}}


def _fingerprints(findings: Iterable[Finding]) -> list[str]:
    """Return what each finding is known by where its line has moved; equal ones are counted."""
    seen: Counter[str] = Counter()
    prints = []
    for one in findings:
        known = "\n".join((one.revision, one.rule, one.statement or ""))
        digest = hashlib.sha256(known.encode()).hexdigest()[:16]
        seen[digest] += 1
        prints.append(f"{digest}:{seen[digest]}")
    return prints


def _notifications(answer: Answer, plan: PlanResult) -> list[Json]:
    told = [] if answer.left_out is None else [f"Not the whole answer: {answer.left_out}."]
    told += [f"Not checked: {one}." for one in plan.not_checked]
    return [{"level": "note", "message": {"text": _escape(one)}} for one in told]


def _folder_in_repository(project: Path) -> PurePosixPath:
    """Return the path of the project in its repository, which is what GitHub resolves paths against."""
    folder = project.resolve()
    root = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)
    return PurePosixPath(folder.relative_to(root).as_posix())
