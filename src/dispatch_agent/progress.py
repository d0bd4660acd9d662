"""The recorded decisions of a run in sums, and the answer made of them."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dispatch_agent.blocklist.nameless import Nameless
from dispatch_agent.lead import Lead
from dispatch_agent.request import Cursor
from dispatch_agent.rules.decision import Decision

SHOWN = 100
"""The number of decisions that an answer lists."""


@dataclass
class Progress:
    """The recorded decisions, in sums; their size does not grow with the number of leads."""

    last: Cursor | None
    """The lead that was recorded last."""
    done: int = 0
    shown: list[Decision] = field(default_factory=list)
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: bool = False
    """Whether the time ran out before all was done."""
    nameless: Nameless = field(default_factory=Nameless)
    """The rows of the blocklist that name nobody."""
    unreadable: int = 0
    """The number of the leads' contacts that have nothing to send to."""
    unreadable_of: list[str] = field(default_factory=list)
    """The first of their leads."""

    def add(self, decisions: list[Decision], last: Lead) -> None:
        """Add a recorded chunk."""
        self.done += len(decisions)
        self.shown += decisions[: SHOWN - len(self.shown)]
        self.last = Cursor(interesse=last.interesse, data_ingestao=last.data_ingestao, lead_id=UUID(last.lead_id))
        for one in decisions:
            self._add_unreadable(one)
            counted = self.counts.setdefault(one.canal, {"executaria": 0, "bloqueios": {}})
            if one.razao_bloqueio is None:
                counted["executaria"] += 1
            else:
                rule = one.razao_bloqueio.partition(":")[0]
                counted["bloqueios"][rule] = counted["bloqueios"].get(rule, 0) + 1

    def _add_unreadable(self, one: Decision) -> None:
        self.unreadable += one.ilegiveis
        if one.ilegiveis and len(self.unreadable_of) < SHOWN:
            self.unreadable_of.append(one.lead_id)


def answer_of(progress: Progress, run_id: str, *, unfinished: bool) -> dict[str, Any]:
    """Return the answer of a run, with a cursor where it is unfinished."""
    answer: dict[str, Any] = {
        "success": True,
        "leadsProcessados": progress.done,
        "decisoes": [_shown(one) for one in progress.shown],
        "logs": [f"{progress.done} decisões registradas em dry_run_log; nada foi enviado."],
        "runId": run_id,
        "contagens": progress.counts,
        "ilegiveis": {
            "bloqueios": progress.nameless.as_told(),
            "contatos": {"total": progress.unreadable, "leads": progress.unreadable_of},
        },
    }
    if unfinished and progress.last is not None:
        answer["cursor"] = progress.last.encode()
    return answer


def _shown(one: Decision) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "lead": {"id": one.lead_id, "nome": one.nome},
        "canal": one.canal,
        "motivo": one.motivo,
        "seria_executado": one.seria_executado,
    }
    return shown if one.razao_bloqueio is None else shown | {"razao_bloqueio": one.razao_bloqueio}
