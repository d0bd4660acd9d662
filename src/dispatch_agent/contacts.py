"""Phones and e-mails: validation, and comparison of different notations."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from dispatch_agent.lead import Lead
from dispatch_agent.zones import AREAS

# The notation of nearly every phone. phonenumbers gives the same result and takes ten times as long.
_USUAL_PHONE = re.compile(r"(?:\+?55 ?)?\(?([1-9]{2})\)? ?(9[0-9]{4}|[2-9][0-9]{3})[- ]?([0-9]{4})")
# The texts that phonenumbers may parse: without this limit it finds a number in almost any text, even in a URL.
_PHONE = re.compile(r"\+?[0-9(][0-9 ().\-/xX\u00a0\u2010-\u2015]{7,39}")
# A local part of this form needs no further check; the domain is always checked.
_USUAL_LOCAL_PART = re.compile(r"[a-z0-9]+(?:[._+-][a-z0-9]+)*")
# Between 2012 and 2016 mobile numbers got a leading 9; both forms belong to one subscriber (Anatel, Resolução 553).
_OLD_MOBILE = re.compile(r"(\+55[1-9]{2})([6-9][0-9]{7})")
_LONGEST_EMAIL = 254
_BETWEEN = re.compile("[/;,|]")
# A raw string of a megabyte would otherwise delay the run for seconds.
_MOST_RAW_VALUES = 100


def phone(text: str) -> str | None:
    """Return the E.164 form of a possible Brazilian phone with area code, else None.

    A possible phone has `+55`, one of the 67 area codes and 8 or 9 digits; it need not be in service.
    """
    written = text.strip()
    if usual := _USUAL_PHONE.fullmatch(written):
        area, head, tail = usual.groups()
        return f"+55{area}{head}{tail}" if area in AREAS else None
    return _parsed(written) if _PHONE.fullmatch(written) else None


def _parsed(written: str) -> str | None:
    from phonenumbers import NumberParseException, parse

    try:
        found = parse(written, "BR")
    except NumberParseException:
        return None
    digits = str(found.national_number)
    is_ours = found.country_code == 55 and not found.extension and len(digits) in (10, 11) and digits[:2] in AREAS
    return f"+55{digits}" if is_ours else None


def email(text: str) -> str | None:
    """Return the normalised form of a valid e-mail address, domain in lower case, else None; without DNS.

    A mail server must accept the address, so the local part has at most 64 characters and is not a quoted string.
    The local part keeps its case, since the receiving server may distinguish `Ana` from `ana`:
    https://www.rfc-editor.org/rfc/rfc5321#section-2.4
    """
    written = text.strip()
    if len(written) > _LONGEST_EMAIL:
        return None
    local, _, domain = written.rpartition("@")
    if len(local) <= 64 and len(domain) <= 100 and _USUAL_LOCAL_PART.fullmatch(local):
        known = _domain(domain)
        return known and f"{local}@{known}"
    return _validated(written)


@lru_cache(maxsize=4096)
def _domain(domain: str) -> str | None:
    known = _validated(f"a@{domain}")
    return known and known[2:]


def _validated(written: str) -> str | None:
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(written, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        return None


def phones(lead: Lead) -> tuple[str, ...]:
    """Return the lead's distinct valid phones, E.164: the structured ones, or where none is valid the raw ones."""
    return _distinct(phone, lead.telefones) or _from_raw(phone, lead.telefone_raw, lead.recusados)


def emails(lead: Lead) -> tuple[str, ...]:
    """Return the lead's distinct valid e-mails: the structured ones, or where none is valid the raw ones."""
    return _distinct(email, lead.emails) or _from_raw(email, lead.email_raw, lead.recusados)


def _from_raw(normalise: Callable[[str], str | None], raw: str | None, refused: Iterable[str]) -> tuple[str, ...]:
    unwanted = set(keys(refused)) if raw else ()
    return tuple(found for found in _distinct(normalise, _values(raw)) if key(found) not in unwanted)


def _values(raw: str | None) -> list[str]:
    return raw.split("|", _MOST_RAW_VALUES)[:_MOST_RAW_VALUES] if raw else []


def _distinct(normalise: Callable[[str], str | None], texts: Iterable[str]) -> tuple[str, ...]:
    valid = [found for text in texts if (found := normalise(text))]
    if len(valid) < 2:
        return tuple(valid)
    first: dict[str | None, str] = {}
    for found in valid:
        first.setdefault(key(found), found)
    return tuple(first.values())


def key(text: str) -> str | None:
    """Return the form that all notations of one phone or e-mail share, None for a text that is no contact.

    Case does not count, nor does the ninth digit of a mobile phone. An invalid contact is compared unchanged, so
    that a foreign phone identifies a person too; a dash or `n/a` is no contact.
    """
    if len(text) > _LONGEST_EMAIL:
        return None
    if "@" in text.strip()[1:-1]:
        return (email(text) or text.strip()).casefold()
    if found := phone(text):
        return _with_ninth_digit(found)
    digits = "".join(re.findall("[0-9]", text))
    if found := phone(digits):
        # the text has a word beside the number
        return _with_ninth_digit(found)
    return digits if len(digits) >= 8 else None


def _with_ninth_digit(found: str) -> str:
    return _OLD_MOBILE.sub(r"\g<1>9\2", found) if len(found) == len("+551100000000") else found


def keys(texts: Iterable[str | None]) -> Iterator[str]:
    """Yield the keys of all contacts in `texts`; one text may contain several.

    A tenant's blocklist is a set of these: one too many blocks a send, one too few breaks the law.
    """
    for text in texts:
        pieces = () if not text else (text, *_BETWEEN.split(text)) if _BETWEEN.search(text) else (text,)
        yield from (found for piece in pieces if (found := key(piece)))


def everything(lead: Lead) -> Iterator[str]:
    """Yield all contacts of the lead unchanged, used or not, valid or not."""
    yield from lead.telefones
    yield from lead.emails
    yield from _values(lead.telefone_raw)
    yield from _values(lead.email_raw)
    yield from lead.recusados
