"""The metrics of a run and of a purge: what the alarms and the dashboard read."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dispatch_agent import environment

SERVICE = "micro-agente-disparo-agendamento"
NAMESPACE = "AlquimistaAI/DispatchAgent"
NOT_BLOCKED = "nenhum"
TENANT = re.compile(r"[A-Za-z0-9_.-]{1,57}")
"""A tenant's name that a dimension and the name of a schedule can hold as it is."""
A_DAY = timedelta(days=1)


def tenant_name(tenant: str) -> str:
    """Return a tenant's name for a dimension: CloudWatch accepts only ASCII. A hash keeps two names apart."""
    if TENANT.fullmatch(tenant):
        return tenant
    known = unicodedata.normalize("NFC", tenant)
    return f"{_ascii(known)[:48]}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"


def emit_run(environ: Mapping[str, str], event: object, answer: Mapping[str, Any], duration_ms: float) -> None:
    """Emit the values of a run: for the environment, and for a tenant of `METRIC_TENANTS`."""
    named = environment.deployed(environ)
    # a simulation decides on nothing, and what is decided as at another moment is none of this one's
    ours = not {"horas", "momento"} & answer.keys()
    decided = answer["contagens"] if ours else {}
    for canal, counted in decided.items():
        _emit_decisions(named, canal, counted)
    values = _values(answer, decided, ours)
    failed = int(not answer["success"])
    _emit({"environment": named}, {"RunDuration": duration_ms, "RunFailed": failed, **values})
    tenant = event.get("tenantId") if isinstance(event, Mapping) else None
    # each tenant has metrics of its own, and each metric costs: only those that the deployment lists
    if isinstance(event, Mapping) and tenant and tenant in environ.get("METRIC_TENANTS", "").split(","):
        dimensions = {"environment": named, "tenant": tenant_name(tenant)}
        _emit(dimensions, values)
        # the alarm for a missing run counts these, at the moment at which each was due
        if moment := scheduled_at(event):
            _emit(dimensions, {"RunFailed": failed}, moment)


def emit_busy(environ: Mapping[str, str], duration_ms: float) -> None:
    """Emit that an invocation is raised for Lambda to repeat, at its beginning, as Lambda's metric of errors has it."""
    began = datetime.now(UTC) - timedelta(milliseconds=duration_ms)
    _emit({"environment": environment.deployed(environ)}, {"RunBusy": 1}, began)


def emit_purge(environ: Mapping[str, str], answer: Mapping[str, Any]) -> None:
    """Emit the values of a purge."""
    values = {"PurgeFailed": int(not answer["success"]), "RowsDeleted": answer.get("deleted", 0)}
    if answer["success"]:
        values["PurgeUnfinished"] = int(not answer["finished"])
    _emit({"environment": environment.deployed(environ)}, values)


def scheduled_at(event: Mapping[str, Any]) -> datetime | None:
    """Return the moment at which the tenant's schedule sent `event`, None for an event that it did not send.

    Its `runId` is `{moment}:{tenantId}` with a moment of the last day, and it has none of the fields for other runs.
    """
    moment, _, tenant = str(event.get("runId", "")).rpartition(":")
    if tenant != event.get("tenantId") or event.keys() & {"at", "spread", "leadId", "cursor", "action"}:
        return None
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return found if found.tzinfo and timedelta() <= datetime.now(UTC) - found < A_DAY else None


def _values(answer: Mapping[str, Any], decided: Mapping[str, Any], ours: bool) -> dict[str, float]:
    values: dict[str, float] = {}
    if decided and answer["leadsProcessados"]:
        blocked = sum(sum(counted["bloqueios"].values()) for counted in decided.values())
        values["BlockedShare"] = 100 * blocked / answer["leadsProcessados"]
    if answer["success"] and ours:
        told = answer["ilegiveis"]
        values["UnreadableBlocks"] = told["bloqueios"]["total"]
        values["UnreadableContacts"] = told["contatos"]["total"]
    return values


def _emit_decisions(named: str, canal: str, counted: Mapping[str, Any]) -> None:
    """Emit the decisions of a channel by their reason."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    # CloudWatch accepts only ASCII in a dimension
    reasons = {_ascii(reason): count for reason, count in counted["bloqueios"].items()}
    for reason, count in {NOT_BLOCKED: counted["executaria"], **reasons}.items():
        with single_metric("Decisions", MetricUnit.Count, count, namespace=NAMESPACE) as metric:
            for name, value in {"environment": named, "canal": canal, "bloqueio": reason}.items():
                metric.add_dimension(name, value)


def _emit(dimensions: Mapping[str, str], values: Mapping[str, float], moment: datetime | None = None) -> None:
    if not values:
        return
    from aws_lambda_powertools.metrics import Metrics, MetricUnit

    units = {"RunDuration": MetricUnit.Milliseconds, "BlockedShare": MetricUnit.Percent}
    metrics = Metrics(namespace=NAMESPACE, service=SERVICE)
    for dimension, named in dimensions.items():
        metrics.add_dimension(dimension, named)
    for name, value in values.items():
        metrics.add_metric(name, units.get(name, MetricUnit.Count), value)
    if moment is not None:
        metrics.set_timestamp(moment)
    metrics.flush_metrics()


def _ascii(text: str) -> str:
    """Return a text without its accents, and without letters that are no ASCII."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
