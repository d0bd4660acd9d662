"""The e-mail addresses in a text that may be sent to."""

import re
from collections.abc import Iterator
from functools import lru_cache

from dispatch_agent.contacts.text import plain

LONGEST = 254
"""The number of characters that an address can have."""
# A local part of this form needs no further check; the domain is always checked.
USUAL_LOCAL_PART = re.compile(r"[a-z0-9]+(?:[._+-][a-z0-9]+)*")
_PIECE = re.compile(r"[^\s<>()\[\]{},;:|/=\"“”«»]+")
_QUERY = re.compile("[?&#].*")
# A space inside an address would make a stranger's one of it, so that only these words may stand before one.
_LABEL = re.compile(
    r"(?:e-?mails?|mail|contato|comercial|pessoal|financeiro|cobran[cç]a|trabalho|casa|principal|alternativo|novo|para"
    r"|ou|e|or|and|to)",
    re.IGNORECASE,
)
_JOINT = re.compile(r"[\d.+_]+")
_GOES_ON = re.compile(r" ?\. ?\w| ?@| ?,? ?(?:com|net|org|br)\b", re.IGNORECASE)


def sendable(text: str) -> tuple[str, ...]:
    """Return the normalised forms of the valid addresses in `text`, in their order; see `valid`."""
    written = text.strip()
    if known := _usual(written):
        return (known,)
    return tuple(found for one in _whole_addresses(plain(written)) if (found := valid(one)))


def valid(written: str) -> str | None:
    """Return the normalised form of a valid e-mail address, domain in lower case, else None; without DNS.

    A mail server must accept the address, so the local part has at most 64 characters and is not a quoted string.
    The local part keeps its case, since the receiving server may distinguish `Ana` from `ana`:
    https://www.rfc-editor.org/rfc/rfc5321#section-2.4
    """
    return _usual(written) or (_validated(written) if len(written) <= LONGEST else None)


def _usual(written: str) -> str | None:
    local, _, domain = written.rpartition("@")
    if len(local) <= 64 and len(domain) <= 100 and USUAL_LOCAL_PART.fullmatch(local):
        known = known_domain(domain)
        return known and f"{local}@{known}"
    return None


@lru_cache(maxsize=4096)
def known_domain(domain: str) -> str | None:
    """Return the normalised form of a valid domain, else None."""
    known = _validated(f"a@{domain}")
    return known and known[2:]


def _validated(written: str) -> str | None:
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(written, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        return None


def pieces(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each piece of `text` with an `@`, and the piece without quotes, marks and a link's query around it."""
    for piece in _PIECE.finditer(text):
        if "@" in piece[0]:
            local, at, domain = piece[0].rpartition("@")
            yield piece, f"{local.lstrip(_MARKS)}{at}{_QUERY.sub('', domain).rstrip(_MARKS + '.!-_')}"


def inner(text: str) -> list[str]:
    """Return the addresses in `text` without any sign that stands at either end of them, or between two."""
    apart = _BEHIND.sub(r"\1 ", _QUOTES.sub("", text).replace("\\n", " "))
    return _INNER.findall(_SEVERAL.sub("@", apart))


_QUOTES, _SEVERAL = re.compile("[\"'`\u2018\u2019\u201c\u201d]"), re.compile("@{2,}")
# `ana@exemplo.com.br-bia@exemplo.com.br`
_BEHIND = re.compile(r"(@[\w.]+\.\w{2,})-(?=[\w.+-]+@)")
# It begins at no more than each word, and is no longer than a local part, so that the time grows with the text only.
_INNER = re.compile(r"(?<![^\W_])[^\W_](?:[\w.+-]{0,62}[^\W_])?@[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)+")
_MARKS = "'`\u2018\u2019*"


def _whole_addresses(text: str) -> Iterator[str]:
    for piece, address in pieces(text):
        # of one that begins with a sign nobody knows whether the sign belongs to it
        if address[:1].isalnum() and _begins(text[: piece.start()]) and not _GOES_ON.match(text, piece.end()):
            yield address


def _begins(before: str) -> bool:
    """Tell whether an address that comes after `before` begins there."""
    if before[-1:] not in (" ", "/", "="):
        return True
    words = before[-LONGEST:].split()
    last = words[-1].rstrip("/=") if words else ""
    if before.endswith("//"):
        return False
    if "@" in last or not last or _LABEL.fullmatch(last):
        return True
    # a number, or a sign that addresses have, may stand between the parts of one: `ana . souza@exemplo.com.br`
    if _JOINT.fullmatch(last):
        return len(words) == 1 or "@" in words[-2] or bool(_LABEL.fullmatch(words[-2]))
    return last[-1] in ":-,;>)|<(\"'" or not any(map(str.isalpha, last))
