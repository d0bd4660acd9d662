"""One run: read a tenant's leads, decide on each, record the decisions, and return the answer."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from dispatch_agent import environment, reading, tenants, turn
from dispatch_agent.blocklist import lookup
from dispatch_agent.blocklist.lookup import Blocklist, Time
from dispatch_agent.failure import OutOfTime, SimulationTooLong, TimeTooShort, explain, frames
from dispatch_agent.lead import Lead
from dispatch_agent.log import recording
from dispatch_agent.log.recording import Origin
from dispatch_agent.progress import Progress, answer_of
from dispatch_agent.request import Request, parse
from dispatch_agent.rules import limits
from dispatch_agent.rules.decision import Circumstances, Decision, decide, fitting
from dispatch_agent.rules.limits import Usage
from dispatch_agent.rules.spread import CHANNELS, Day, Sends, simulate
from dispatch_agent.tenants import RunOfAnotherLead, UnknownLead
from runner.errors import InvalidSettings, translating
from runner.postgres.connect import open_from

# A chunk is one COPY and one commit; the memory of a run grows with the chunk, not with the number of leads.
CHUNK_ROWS = 5_000
FIRST_ROWS = 250
"""The number of leads in the first chunk, so that little time is enough to record it; the next ones double."""
ALL = 1_000_000_000
"""More than a tenant has leads."""
ANSWERING_S = 1.0
"""The time reserved for the answer: no statement runs during it."""
MARGIN_S = 3.0
"""The time reserved for recording the last decisions and for the answer."""
FLAG = "MICRO_AGENT_DISPARO_ENABLED"
Tell = Callable[..., None]

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Job:
    """The work of one invocation, and its deadline."""

    asked: Request
    run_id: str
    environ: Mapping[str, str]
    ends_at: float
    """On the monotonic clock."""
    now: datetime
    """The moment of all decisions: the request's, else the present."""

    @property
    def environment(self) -> str:
        """Return the name of the environment; `prod` however production is written."""
        return environment.recorded(self.environ)

    def remaining_s(self) -> float:
        """Return the seconds in which a further chunk may begin."""
        return self.ends_at - monotonic() - MARGIN_S

    @property
    def time(self) -> Time:
        """Return the time for the blocklist."""
        return Time(self.remaining_s, MARGIN_S - ANSWERING_S)


def run(
    event: object,
    environ: Mapping[str, str],
    request_id: str,
    seconds: float,
    tell: Tell,
    clock: Callable[[], datetime] = utc_now,
) -> dict[str, Any]:
    """Execute the request in `event` within `seconds`, and return the answer; a failure is an answer too.

    `tell` is called after each chunk with a sentence, `number` and `total`. The batch size applies to the run: with
    the same run id no lead is decided on twice, and the same event again finds nothing left to do. With the `cursor`
    of an answer the run resumes where that one stopped.
    """
    ends_at = monotonic() + seconds
    # known before parsing: the answer to an invalid event has a run id too
    run_id, progress = request_id, Progress(None)
    try:
        asked, progress.last = parse(event)
        run_id = asked.run_id or request_id
        job = Job(asked, run_id, environ, ends_at, asked.at or clock())
        engine = open_from(environ, f"dispatch-agent {request_id}", seconds)
        if asked.spread:
            return _say_moment(answer_of(progress, run_id, unfinished=False) | _simulate(job, engine, tell), asked)
        _work(job, engine, progress, tell)
    except Exception as error:  # noqa: BLE001 - callers that parse answers get one for a bug of ours too
        problem = explain(error)
        if isinstance(problem, OutOfTime) and not progress.done:
            problem = TimeTooShort()
        logger.warning("%s at %s", problem.code, " < ".join(frames(error)))
        words = " ".join(part for part in (problem.sentence, problem.state, problem.advice) if part)
        failed = {"success": False, "error": words, "code": problem.code, "logs": [f"{problem.code}: {words}"]}
        return answer_of(progress, run_id, unfinished=True) | failed
    return _say_moment(answer_of(progress, run_id, unfinished=progress.stopped), asked)


def _say_moment(answer: dict[str, Any], asked: Request) -> dict[str, Any]:
    """Return the answer with the moment that was decided as at, where the request names one."""
    if asked.at is None:
        return answer
    return answer | {"momento": asked.at.isoformat(), "logs": [f"{answer['logs'][0]} Decidido {_as_at(asked.at)}."]}


def _as_at(moment: datetime) -> str:
    return f"como em {moment:%d/%m/%Y, às %H:%M} ({moment.isoformat()[-6:]})"


def _work(job: Job, engine: Engine, progress: Progress, tell: Tell) -> None:
    """Decide on the remaining leads of the run, chunk by chunk."""
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lock_connection,
        _turn(job, lock_connection) as (tenant_id, zone),
        engine.connect() as reader,
        engine.connect() as writer,
        _recorder(writer, progress, tell, job.asked.batch_size) as record,
    ):
        for connection in (reader, writer):
            turn.bound(connection, job.remaining_s() + MARGIN_S - ANSWERING_S)
            connection.exec_driver_sql(reading.BY_INDEX)
            connection.commit()
        circumstances = _circumstances(job, zone)
        listed = lookup.open_list(engine, reader, tenant_id, job.time)
        progress.nameless = listed.prepare()
        usage = reading.read_usage(reader, tenant_id, job.run_id, job.now)
        flag = job.environ.get(FLAG) == "true"
        note = f" Decidido {_as_at(job.asked.at)}." if job.asked.at else ""
        origin = Origin(tenant_id, job.run_id, fitting("ambiente", job.environment) or "dev", flag, note)
        only = UUID(job.asked.lead_id) if job.asked.lead_id else None
        if only is not None:
            _check_lead(job, reader, tenant_id, only)
        left = job.asked.batch_size - reading.count_recorded(reader, tenant_id, job.run_id)
        leads = reading.read_leads(reader, tenant_id, job.run_id, job.now, max(left, 0), progress.last, only)
        for chunk in _ahead(_chunks(leads, listed)):
            decisions, usage = _decide(chunk, circumstances, usage)
            record(decisions, origin, chunk[-1])
            if job.remaining_s() <= 0:
                progress.stopped = True
                return


@contextmanager
def _turn(job: Job, connection: Connection) -> Iterator[tuple[UUID, str]]:
    """Hold the lock of the tenant's run during the block, and yield the tenant's id and time zone.

    The lock carries the id, so that an invocation by the tenant's slug and one by its id exclude each other.
    """
    turn.bound(connection, job.remaining_s() + MARGIN_S - ANSWERING_S)
    found = tenants.find_active(connection, job.asked.tenant_id)
    with turn.take(connection, found[0], job.run_id, job.remaining_s()):
        yield found


def _simulate(job: Job, engine: Engine, tell: Tell) -> dict[str, Any]:
    """Return what the answer says of a day of sends to all leads, see `spread`.

    It takes no lock and records nothing: the log holds what was decided at a moment, and its rows count as sends.
    """
    with engine.connect().execution_options(postgresql_readonly=True) as reader:
        turn.bound(reader, job.remaining_s() + MARGIN_S - ANSWERING_S)
        reader.exec_driver_sql(reading.BY_INDEX)
        reader.commit()
        tenant_id, zone = tenants.find_active(reader, job.asked.tenant_id)
        circumstances = _circumstances(job, zone)
        listed = lookup.open_list(engine, reader, tenant_id, None)
        day = Day.of(job.now, zone)
        sends = [Sends(*row) for row in reading.read_sends(reader, tenant_id, job.now, day.end)]
        leads = reading.read_leads(reader, tenant_id, job.run_id, job.now, ALL)
        found = simulate(_in_time(job, leads, listed, tell), circumstances, sends, day)
    return {
        "leadsProcessados": found.leads,
        "logs": [
            f"simulação de {found.day.begin:%d/%m/%Y}: {found.sent} de {found.leads} leads receberiam; "
            "nada foi registrado nem enviado."
        ],
        "contagens": found.counts,
        "horas": [
            {"hora": hour.isoformat(), **{channel: counted[channel] for channel in CHANNELS}, "total": counted.total()}
            for hour, counted in found.hourly.items()
        ],
    }


def _in_time(job: Job, leads: Iterator[Lead], listed: Blocklist, tell: Tell) -> Iterator[Lead]:
    """Yield the leads. Raises `SimulationTooLong` when the time is over."""
    done = 0
    for chunk in _ahead(_chunks(leads, listed)):
        yield from chunk
        done += len(chunk)
        tell(f"Decided on {done:,} leads.", number=done)
        if job.remaining_s() <= 0:
            raise SimulationTooLong


def _check_lead(job: Job, reader: Connection, tenant_id: UUID, lead_id: UUID) -> None:
    """Raise `UnknownLead`, or `RunOfAnotherLead`: the batch of a run is spent, and its answer would be an empty one."""
    if not reading.has_lead(reader, tenant_id, lead_id):
        raise UnknownLead(str(lead_id), job.asked.tenant_id)
    if reading.is_of_another_lead(reader, tenant_id, job.run_id, lead_id):
        raise RunOfAnotherLead(job.run_id, str(lead_id))


def _circumstances(job: Job, zone: str) -> Circumstances:
    with translating(ValueError, _of_limits):
        return Circumstances(job.now, zone, limits.read(job.environ, job.environment))


def _of_limits(error: ValueError) -> InvalidSettings:
    return InvalidSettings(str(error), "Correct the function's environment, then repeat.")


def _decide(leads: Iterable[Lead], circumstances: Circumstances, usage: Usage) -> tuple[list[Decision], Usage]:
    """Decide on leads in their order; each send counts against the limits of the leads after it."""
    decisions = []
    for lead in leads:
        one = decide(lead, circumstances, usage)
        if one.seria_executado:
            usage = usage.after(one.canal)
        decisions.append(one)
    return decisions, usage


def _chunks(leads: Iterator[Lead], listed: Blocklist) -> Iterator[list[Lead]]:
    rows = FIRST_ROWS
    while chunk := list(itertools.islice(leads, min(rows, CHUNK_ROWS))):
        yield listed.marked(chunk)
        rows *= 2


def _ahead(chunks: Iterator[list[Lead]]) -> Iterator[list[Lead]]:
    """Yield chunks while a thread reads the next one, so that the server and this process work in parallel."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader") as pool:
        coming = pool.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = pool.submit(next, chunks, None)
            yield chunk


@contextmanager
def _recorder(
    writer: Connection, progress: Progress, tell: Tell, total: int
) -> Iterator[Callable[[list[Decision], Origin, Lead], None]]:
    """Yield a function that records a chunk in a thread, one at a time; its progress counts after the commit."""
    pending: list[tuple[Future[None], list[Decision], Lead]] = []

    def settle() -> None:
        future, decisions, last = pending.pop()
        future.result()
        progress.add(decisions, last)
        tell(f"Recorded {progress.done:,} decisions.", number=progress.done, total=total)

    def record(decisions: list[Decision], origin: Origin, last: Lead) -> None:
        if pending:
            settle()
        pending.append((pool.submit(recording.record, writer, decisions, origin), decisions, last))

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder") as pool:
        try:
            yield record
        finally:
            # a committed chunk counts, whatever else has failed
            if pending:
                settle()
