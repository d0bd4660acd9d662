"""Rate limits: the sends that a tenant is allowed, and those already made."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The number of sends allowed to a tenant, and to a channel of a tenant."""

    per_minute: int = 10
    per_hour: int = 100
    per_day: int = 500
    whatsapp_per_hour: int = 100
    email_per_hour: int = 500


@dataclass(frozen=True, slots=True)
class Usage:
    """The number of sends of a tenant in the last minute, hour and day, and by channel in the last hour."""

    minute: int = 0
    hour: int = 0
    day: int = 0
    whatsapp: int = 0
    email: int = 0

    def after(self, channel: str) -> "Usage":
        """Return the usage after one more send; a calendar reminder counts for the tenant only, not for a channel."""
        return Usage(
            self.minute + 1,
            self.hour + 1,
            self.day + 1,
            self.whatsapp + (channel == "whatsapp"),
            self.email + (channel == "email"),
        )


def read(environ: Mapping[str, str], environment: str) -> Limits:
    """Read the limits from `environ`, usually `os.environ`; an empty value counts as not set, 0 allows nothing.

    The defaults are 10 a minute, 100 an hour and 500 a day, and 100 an hour by WhatsApp and 500 by e-mail,
    these two ten times as high where `environment` is `prod`. Raises `ValueError` for a value other than a number
    from 0 to 999,999,999.
    """
    usual = Limits()
    by_channel = 10 if environment == "prod" else 1
    return Limits(
        per_minute=_count(environ, "LIMIT_PER_MINUTE", usual.per_minute),
        per_hour=_count(environ, "LIMIT_PER_HOUR", usual.per_hour),
        per_day=_count(environ, "LIMIT_PER_DAY", usual.per_day),
        whatsapp_per_hour=_count(environ, "LIMIT_WHATSAPP_PER_HOUR", usual.whatsapp_per_hour * by_channel),
        email_per_hour=_count(environ, "LIMIT_EMAIL_PER_HOUR", usual.email_per_hour * by_channel),
    )


def _count(environ: Mapping[str, str], name: str, usual: int) -> int:
    value = environ.get(name) or str(usual)
    # `isdigit` alone also accepts superscripts, which `int` refuses, and digits of other scripts
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    raise ValueError(f"`{name}` is not a number of sends from 0 to 999,999,999.")


def reached(limits: Limits, usage: Usage, channel: str) -> str | None:
    """Say in Portuguese which limit is reached, and how many sends count against it; return None if none is.

    The tenant's limits come first, the shortest period first of all; then the channel's.
    """
    if usage.minute >= limits.per_minute:
        return _full("limite por minuto", usage.minute, limits.per_minute)
    if usage.hour >= limits.per_hour:
        return _full("limite por hora", usage.hour, limits.per_hour)
    if usage.day >= limits.per_day:
        return _full("limite por dia", usage.day, limits.per_day)
    if channel == "whatsapp" and usage.whatsapp >= limits.whatsapp_per_hour:
        return _full("limite de WhatsApp por hora", usage.whatsapp, limits.whatsapp_per_hour)
    if channel == "email" and usage.email >= limits.email_per_hour:
        return _full("limite de e-mail por hora", usage.email, limits.email_per_hour)
    return None


def _full(name: str, used: int, limit: int) -> str:
    return f"{name} atingido: {used} de {limit}"
