"""The keys by which a text names people: what is on a blocklist, and what a lead is looked up by.

One key too many blocks a send, one too few breaks the law. So a text gives every phone and every address that somebody
could have meant by it. A key is one of

- `+5584997084444`: a phone, a mobile one with its ninth digit; also a foreign one
- `97084444`: the last eight digits of a phone that was written without its area code
- `ana@exemplo.com.br`: an address without case, accents and what many servers ignore
- `#849970844445`: what is no phone or address of anybody, but is the same in another text

A key of more than 200 characters, or with characters that nobody sees, is a hash instead.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from dispatch_agent.contacts import emails
from dispatch_agent.contacts.phones import MOMENT, TRUNK, USUAL, is_repeated
from dispatch_agent.contacts.text import decoded, plain
from dispatch_agent.zones import AREAS

VERSION = 1
"""Increased whenever a text gives other keys than before, so that stored keys are made anew."""

UNKNOWN = "#"

_LETTER_O = re.compile(r"(?<=[0-9])[oO](?=[-0-9. ])")
_SHORT_END = re.compile(r"(?<=[0-9])\s(?:e|ou|a|à)\s(?=[0-9]{1,4}(?![0-9-]))", re.IGNORECASE)
_CHUNK = re.compile(r"[0-9]+(?:[\W_]{1,6}[0-9]+)*")
_GROUP = re.compile(r"([0-9]+)([^0-9]*)")
_FOREIGN = re.compile(r"\+[ (]{0,2}(?!55)[1-9][0-9 ().-]{6,22}")
_PREFIX = re.compile(r"(?:00(?:[1-9][0-9])?)?(?:0?55)?(?:0(?:[1-9][0-9])?|90(?:[1-9][0-9])?)?")
_PREFIX_WITHOUT_AREA = re.compile(r"(?:00(?:[1-9][0-9])?)?(?:0?55)?(?:0|90|9090)?")
_LONGEST = len("00155584997084444")
_E164_MOBILE = re.compile(r"\+55[1-9]{2}9[0-9]{8}")
_TAIL = 8
_LONGEST_KEY = 200
_ANYWHERE = tuple(re.compile(f"(?=([1-9][0-9])({number}))") for number in ("9[0-9]{8}", "[2-9][0-9]{7}"))
_AT = re.compile(r"\s?(?:[(\[{<]\s?(?:at|arroba|@)\s?[)\]}>]|\s(?:at|arroba)\s|@)\s?", re.IGNORECASE)
_DOT = re.compile(r"\s?(?:[(\[{<]\s?(?:dot|ponto|\.)\s?[)\]}>]|\s(?:dot|ponto)\s)\s?", re.IGNORECASE)
_LOOSE_DOT = re.compile(r"(?<=\w)(?: ?\. ?|,)(?=(?:com|net|org|gov|edu|br)\b)", re.IGNORECASE)


def keys(text: str) -> frozenset[str]:
    """Return the keys that `text` has on a blocklist, none where it names nobody."""
    if usual := _usual(text):
        return frozenset((usual,))
    return frozenset(map(_storable, _phones(text) | _addresses(text)))


def names_somebody(found: Iterable[str]) -> bool:
    """Tell whether one of these keys is a phone or an address that can exist."""
    return any(not key.startswith(UNKNOWN) for key in found)


def is_tail(key: str) -> bool:
    """Tell whether a key is the end of a phone without area code."""
    return len(key) == _TAIL and key.isdecimal()


def _storable(key: str) -> str:
    """Return a key that an index accepts, and a line of text can hold."""
    if len(key) <= _LONGEST_KEY and key.isprintable():
        return key
    # the beginning says that nobody is named, `@` that it is an address
    hashed = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{UNKNOWN if key[0] == UNKNOWN else ''}{hashed}{'@' if '@' in key else ''}"


def lookups(text: str) -> Iterable[str]:
    """Return the keys by which a blocklist may have what `text` names: its own, and those without area code.

    A phone that `text` itself has without area code may be on a blocklist with any.
    """
    cells: list[str] = []
    for cell in text.split("|") if "|" in text else (text,):
        if not (usual := _usual(cell.strip())):
            break
        cells.append(usual)
        if usual[0] == "+":
            cells.append(usual[-_TAIL:])
    else:
        return cells
    found = keys(text)
    tails = {key for key in found if is_tail(key)}
    anywhere = {f"+55{area}{ninth}{tail}" for tail in tails for area in AREAS for ninth in ("", "9")}
    return found.union(anywhere, [key[-_TAIL:] for key in found if key.startswith("+55")])


def _usual(text: str) -> str | None:
    """Return the only key of a text in a usual notation."""
    if "@" not in text:
        if _E164_MOBILE.fullmatch(text) and text[3:5] in AREAS and not is_repeated(text[5:]):
            return text
        usual = USUAL.fullmatch(text)
        return _usual_phone(text, *usual.groups()) if usual else None
    local, _, domain = text.rpartition("@")
    # digits may be a phone's, as in WhatsApp's addresses
    if len(local) <= 64 and emails.USUAL_LOCAL_PART.fullmatch(local) and not ("+" in local or local[:8].isdecimal()):
        known = _usual_domain(domain) if len(domain) <= 100 else None
        return known and f"{local}@{known}"
    return None


def _usual_phone(text: str, area: str, head: str, tail: str) -> str | None:
    # without `+` a 55 may be the country too
    if area not in AREAS or (area == "55" and text[0] != "+") or is_repeated(head + tail):
        return None
    return f"+55{area}9{head}{tail}" if len(head) == 4 and head[0] in "6789" else f"+55{area}{head}{tail}"


def _with_ninth(subscriber: str) -> str:
    return f"9{subscriber}" if len(subscriber) == 8 and subscriber[0] in "6789" else subscriber


def _phones(text: str) -> set[str]:
    """Return the keys of all phones that `text` can be read as."""
    text = plain(decoded(text))
    if not text.isascii():
        text = "".join(str(int(one)) if one.isdecimal() else one for one in text)
    text = _SHORT_END.sub("/", _LETTER_O.sub("0", TRUNK.sub("0", text)))
    foreign = {key for written in _FOREIGN.findall(text) if (key := _foreign(written))}
    return foreign.union(*map(_of_chunk, _CHUNK.findall(MOMENT.sub(" x ", text))))


def _foreign(written: str) -> str | None:
    """Return the E.164 form of a valid number that `+` and its country begin."""
    from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_valid_number, parse

    try:
        found = parse(written)
    except NumberParseException:
        return None
    return str(format_number(found, PhoneNumberFormat.E164)) if is_valid_number(found) else None


def _of_chunk(chunk: str) -> set[str]:
    """Return the keys of digits that only punctuation parts."""
    readings = list(_readings(_GROUP.findall(chunk), area_55="(55)" in chunk))
    with_area: dict[int, list[_Reading]] = {}
    for one in readings:
        if one.area:
            with_area.setdefault(one.last, []).append(one)
    found = {f"+55{one.area}{_with_ninth(one.subscriber)}" for one in readings if one.area}
    # a number is not sought without the area code that it has
    found |= {
        one.subscriber[-_TAIL:]
        for one in readings
        if not one.area and not any(_is_end(one, whole) for whole in with_area.get(one.last, ()))
    }
    digits = re.sub("[^0-9]", "", chunk)
    if digits.startswith("00"):
        # behind `00` comes the country, or a carrier and the country
        found |= {key for skipped in (2, 4) if (key := _foreign(f"+{digits[skipped:]}"))}
    if not found and len(digits) >= _TAIL and not is_repeated(digits[-_TAIL:]):
        found.add(_foreign(f"+{digits}") or f"{UNKNOWN}{digits.lstrip('0')}")
    return found


class _Reading(NamedTuple):
    """What some groups of digits can be as one number."""

    first: int
    last: int
    area: str
    """Empty where the number has none."""
    subscriber: str


def _is_end(tail: _Reading, whole: _Reading) -> bool:
    """Tell whether a number without area code is the end of one with, where both have the same last group."""
    return whole.first < tail.first and whole.subscriber.endswith(tail.subscriber)


def _readings(groups: list[tuple[str, str]], *, area_55: bool) -> Iterator[_Reading]:
    """Yield the numbers that each group can be, alone and with those behind it."""
    for first in range(len(groups)):
        digits = ""
        for last in range(first, len(groups)):
            digits += groups[last][0]
            if len(digits) > _LONGEST:
                break
            for area, subscriber in _numbers(digits, area_55=area_55):
                yield _Reading(first, last, area, subscriber)
                if ending := _other_ending(groups[last : last + 2]):
                    yield _Reading(first, last + 1, area, subscriber[: -len(ending)] + ending)
        if len(groups[first][0]) > _LONGEST:
            yield from _inside(groups[first][0], first)


def _numbers(digits: str, *, area_55: bool) -> Iterator[tuple[str, str]]:
    """Yield the numbers that `digits` can be, with and without area code, whatever prefix they have.

    With `area_55` a 55 alone is the area code, not the country.
    """
    for length, begins in ((9, "9"), (8, "23456789")):
        subscriber, area = digits[-length:], digits[-length - 2 : -length]
        if len(subscriber) < length or subscriber[0] not in begins or is_repeated(subscriber):
            continue
        if area in AREAS and _PREFIX.fullmatch(digits[: -length - 2]):
            yield area, subscriber
        if _PREFIX_WITHOUT_AREA.fullmatch(before := digits[:-length]) and not (area_55 and before == "55"):
            yield "", subscriber


def _other_ending(groups: list[tuple[str, str]]) -> str:
    """Return the `35` of `3206-1234/35`, given the last group of the number and the one behind it."""
    separated = len(groups) == 2 and groups[0][1].strip() in ("/", ",", "-")
    return groups[1][0] if separated and len(groups[1][0]) <= 4 else ""


def _inside(digits: str, place: int) -> Iterator[_Reading]:
    """Yield the numbers in digits that are too many for one."""
    for pattern in _ANYWHERE:
        for area, subscriber in pattern.findall(digits):
            if area in AREAS and not is_repeated(subscriber):
                yield _Reading(place, place, area, subscriber)


def _addresses(text: str) -> set[str]:
    """Return the keys of all addresses that `text` can be read as."""
    seen, link = plain(text), plain(decoded(text))
    open_text = _LOOSE_DOT.sub(".", _DOT.sub(".", _AT.sub("@", link)))
    # decoding can also destroy an address: `ana@exemplo.com.br&para=bia%40exemplo.com.br`
    forms = {text, seen, link, open_text}
    whole = {address for form in forms for _, address in emails.pieces(form)}
    return {key for address in whole | set(emails.inner(open_text)) if (key := _address_key(address))}


def _address_key(address: str) -> str | None:
    local, _, domain = address.rpartition("@")
    known = emails.known_domain(domain)
    local, domain = _folded(local), _folded(known or domain)
    local = local.split("+")[0] or local
    if domain in _GMAIL:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{'' if known else UNKNOWN}{local}@{domain}" if local and domain else None


@lru_cache(maxsize=4096)
def _usual_domain(domain: str) -> str | None:
    known = emails.known_domain(domain)
    return _folded(known) if known and known not in _GMAIL else None


_GMAIL = ("gmail.com", "googlemail.com")
"""The server ignores dots: https://support.google.com/mail/answer/7436150"""


def _folded(text: str) -> str:
    """Return `text` without case and accents: an address with an accent is nearly always a slip."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in apart if not unicodedata.combining(one))
