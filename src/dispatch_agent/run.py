"""One run: read a tenant's leads, decide on each, record the decisions, and say what came of it."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dispatch_agent import reading, recording, turn
from dispatch_agent.decision import Circumstances, Decision, decide
from dispatch_agent.failure import Failure, explain
from dispatch_agent.lead import Lead
from dispatch_agent.limits import Limits, Usage
from dispatch_agent.recording import Origin
from dispatch_agent.request import Cursor, Request, parse
from runner.database import open_from

CHUNK_ROWS = 5_000
SHOWN = 100
"""How many decisions an answer lists."""
MARGIN_S = 3.0
"""Kept back to record what is decided, and to answer."""
Tell = Callable[..., None]


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


@dataclass
class Progress:
    """Gather what is recorded; nothing of it grows with the number of leads."""

    done: int = 0
    shown: list[Decision] = field(default_factory=list)
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    last: Cursor | None = None
    """The lead that was recorded last."""
    whole: bool = False
    """Whether there was nothing left to decide on."""

    def add(self, decisions: list[Decision], last: Lead) -> None:
        """Note a chunk that is recorded."""
        self.done += len(decisions)
        self.shown += decisions[: SHOWN - len(self.shown)]
        self.last = Cursor(interesse=last.interesse, data_ingestao=last.data_ingestao, lead_id=last.lead_id)
        for one in decisions:
            counted = self.counts.setdefault(one.canal, {"executaria": 0, "bloqueios": {}})
            if one.razao_bloqueio is None:
                counted["executaria"] += 1
            else:
                kind = one.razao_bloqueio.partition(":")[0]
                counted["bloqueios"][kind] = counted["bloqueios"].get(kind, 0) + 1


def run(
    event: object,
    environ: Mapping[str, str],
    request_id: str,
    seconds: float,
    tell: Tell,
    clock: Callable[[], datetime] = utc_now,
) -> dict[str, Any]:
    """Do what `event` asks for within `seconds`, and return the answer; a failure is an answer too.

    `tell` is called with a sentence, `number` and `total` after each chunk. With the `cursor` of an answer the
    same run goes on; with the same run id no lead is decided on twice.
    """
    ends_at = monotonic() + seconds
    progress = Progress()
    run_id = request_id
    try:
        asked, after = parse(event)
        run_id = asked.run_id or request_id
        progress.last = after
        engine = open_from(environ, f"dispatch-agent {request_id}", seconds)
        _work(asked, run_id, environ, engine, ends_at, progress, tell, clock())
    except Exception as error:  # noqa: BLE001 - who parses answers gets one for a bug of ours too
        problem = explain(error)
        return {**_answer(progress, run_id, [*problem.logs]), "success": False, "error": problem.sentence, "code": problem.code}
    return _answer(progress, run_id, [])
