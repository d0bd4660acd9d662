"""An answer of the agent in words and rows, for people."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from dispatch_agent import console
from runner.output.report import Row

SHOWN_IDS = 3


def decision(one: dict[str, Any]) -> Row:
    """Return the row of a decision."""
    return {
        "id": str(one["lead"]["id"]),
        "lead": one["lead"]["nome"] or "",
        "canal": one["canal"],
        "seria_executado": "sim" if one["seria_executado"] else "não",
        "motivo": one.get("razao_bloqueio") or one["motivo"],
    }


def hour(one: dict[str, Any]) -> Row:
    """Return the row of an hour of a simulation."""
    begin = datetime.fromisoformat(one["hora"])
    numbers = {name: f"{number:,}" for name, number in one.items() if name != "hora"}
    return {"hora": f"{begin:%d/%m/%Y %H:%M}", **numbers}


def summary(answer: dict[str, Any]) -> Iterator[str]:
    """Yield the sentences about a run."""
    number, listed = answer["leadsProcessados"], len(answer["decisoes"])
    if "momento" in answer:
        yield f"Decided as at {answer['momento']}, not as at this moment."
    if "horas" in answer:
        sent = sum(counts["executaria"] for counts in answer["contagens"].values())
        yield f"{sent:,} of {console.count(number, 'lead')} would be sent to that day. Nothing was recorded or sent."
    else:
        shown = f", the first {listed} shown" if listed < number else ""
        yield f"{console.count(number, 'lead')} decided on in run `{answer['runId']}`{shown}. Nothing was sent."
    for channel, counts in answer.get("contagens", {}).items():
        blocked = [f"{many:,} {kind}" for kind, many in counts["bloqueios"].items()]
        verb = "seria executado" if counts["executaria"] == 1 else "seriam executados"
        yield f"  {channel}: " + "; ".join([f"{counts['executaria']:,} {verb}", *blocked])
    yield from unreadable(answer)


def unreadable(answer: dict[str, Any]) -> Iterator[str]:
    """Yield the sentences about what names nobody."""
    told = answer.get("ilegiveis", {"bloqueios": {"total": 0}, "contatos": {"total": 0}})
    if rows := told["bloqueios"]["total"]:
        verbs = "names nobody, and blocks" if rows == 1 else "name nobody, and block"
        ids = ", ".join(told["bloqueios"]["ids"][:SHOWN_IDS]) + (", …" if rows > SHOWN_IDS else "")
        yield f"  {console.count(rows, 'row')} of the blocklist {verbs} nobody: {ids}"
    # the function of an older image tells the blocklist's alone
    if contacts := told.get("contatos", {"total": 0})["total"]:
        verb = "has" if contacts == 1 else "have"
        yield f"  {console.count(contacts, 'contact')} of leads {verb} nothing to send to."
