"""Both sides of the reader, each against the numbering plan: what is sent to, and who is blocked."""

import hashlib
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispatch_agent import zones
from dispatch_agent.contacts import emails, of_lead, phones
from dispatch_agent.contacts.keys import VERSION, keys
from support.deciding import decided, lead, outcome
from support.notations import (
    ADDRESS_STRANGERS,
    ADDRESSED,
    ADDRESSES,
    PHONES,
    STRANGERS,
    WITHOUT_MORE,
    WRITTEN,
    Case,
    addressed,
    written,
)

ELSEWHERE = {"telefones": ("+5521976543210",)}
"""A contact that nothing blocks, so that only the blocklist can prevent the send."""
BLOCKED = "bloqueado a pedido da pessoa (LGPD)"


def each(cases: tuple[Case, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.why) for case in cases])


def is_blocked(found: object) -> bool:
    _, executed, reason = outcome(found)
    return not executed and str(reason).startswith(BLOCKED)


def test_the_tables_are_large_enough() -> None:
    for cases, least in ((PHONES, 250), (ADDRESSES, 80)):
        notations = [notation for case in cases for notation in case.notations]
        assert len(set(notations)) == len(notations) >= least


@each(PHONES)
def test_what_the_notations_of_a_phone_send_to(case: Case) -> None:
    """The same from the structured column and from the raw one."""
    for text in case.notations:
        for known in (lead(telefones=(text,)), lead(telefone_raw=text), lead(telefones=("x",), telefone_raw=text)):
            assert of_lead.find(known).phones == case.sent, text
            assert decided(known).telefone == (case.sent[0] if case.sent else None), text


@each(ADDRESSES)
def test_what_the_notations_of_an_address_send_to(case: Case) -> None:
    for text in case.notations:
        for known in (lead(emails=(text,)), lead(email_raw=text), lead(emails=("x",), email_raw=text)):
            assert of_lead.find(known).emails == case.sent, text
            assert decided(known).email == (case.sent[0] if case.sent else None), text


@each(PHONES)
def test_whom_the_notations_of_a_phone_block(case: Case) -> None:
    """On the blocklist, and as a contact of the lead whose usual notation is on the blocklist."""
    for text in case.notations:
        for person in case.blocked:
            assert is_blocked(decided(lead(telefones=(person,)), blocklist=(text,))), text
            assert is_blocked(decided(lead(telefone_raw=text, **ELSEWHERE), blocklist=(person,))), text
        for stranger in STRANGERS:
            assert decided(lead(telefones=(stranger,)), blocklist=(text,)).seria_executado, text


@each(ADDRESSES)
def test_whom_the_notations_of_an_address_block(case: Case) -> None:
    for text in case.notations:
        for person in case.blocked:
            assert is_blocked(decided(lead(emails=(person,)), blocklist=(text,))), text
            assert is_blocked(decided(lead(email_raw=text, **ELSEWHERE), blocklist=(person,))), text
        for stranger in ADDRESS_STRANGERS:
            assert decided(lead(emails=(stranger,)), blocklist=(text,)).seria_executado, text


@each(PHONES + ADDRESSES)
def test_a_text_blocks_what_is_sent_to_because_of_it(case: Case) -> None:
    for text in case.notations:
        for known in (lead(telefones=(text,)), lead(emails=(text,))):
            assert not decided(known, blocklist=(text,)).seria_executado, text


KEYS = {1: "d56ab8c1df87f580"}
"""A hash of the keys of all notations, by the reader's version."""


def test_other_keys_need_another_version() -> None:
    """Keys are stored. Where a notation gives other keys, increase `VERSION` and add a hash; where the tables only got
    more notations, replace the version's hash."""
    notations = [notation for case in PHONES + ADDRESSES for notation in case.notations]
    read = json.dumps([[notation, sorted(keys(notation))] for notation in notations])
    assert hashlib.sha256(read.encode()).hexdigest()[:16] == KEYS[VERSION]
    assert max(KEYS) == VERSION


MOBILES = st.from_regex(r"\A9[0-9]{8}\Z")
LANDLINES = st.from_regex(r"\A[2-5][0-9]{7}\Z")
AREAS = st.sampled_from(sorted(zones.AREAS))
SUBSCRIBERS = (MOBILES | LANDLINES).filter(lambda digits: len(set(digits)) > 1 and len(set(digits[1:])) > 1)
USED = ("telefones", "telefone_raw", "recusados")


def test_there_are_forty_notations() -> None:
    """Of a phone and of an address; either side of the property tests is written in any of them."""
    for notations in (WRITTEN, ADDRESSED):
        assert len(set(notations)) == len(notations) >= 40


@settings(max_examples=800, deadline=None)
@given(
    AREAS,
    SUBSCRIBERS,
    st.sampled_from(WRITTEN + WITHOUT_MORE),
    st.sampled_from(WRITTEN + WITHOUT_MORE),
    st.sampled_from(USED),
)
def test_a_blocked_phone_is_never_sent_to(area: str, subscriber: str, listed: str, held: str, column: str) -> None:
    """In whatever notation it is on the blocklist, and in whatever notation the lead has it, beside another phone."""
    text = written(held, area, subscriber)
    given = {"telefones": ("+5531988880000",)} | {
        column: text if column == "telefone_raw" else (text, "+5531988880000")
    }
    assert not decided(lead(**given), blocklist=(written(listed, area, subscriber),)).seria_executado


@settings(max_examples=300, deadline=None)
@given(AREAS, SUBSCRIBERS, st.sampled_from(WRITTEN))
def test_every_notation_of_a_whole_number_is_sent_to(area: str, subscriber: str, notation: str) -> None:
    found = of_lead.find(lead(telefones=(written(notation, area, subscriber),))).phones
    assert f"+55{area}{subscriber}" in found
    assert set(found) <= {f"+55{area}{subscriber}", "+5521976543210"}


LOCALS = st.from_regex(r"\A[a-z]{2,8}(?:[._-][a-z0-9]{1,6}){0,2}\Z")
DOMAINS = st.sampled_from(["exemplo.com.br", "gmail.com", "ação.com.br", "xn--ao-siap.com.br", "mail.exemplo.org"])


@settings(max_examples=400, deadline=None)
@given(LOCALS, DOMAINS, st.sampled_from(ADDRESSED), st.sampled_from(ADDRESSED))
def test_a_blocked_address_is_never_sent_to(local: str, domain: str, listed: str, held: str) -> None:
    known = lead(emails=(addressed(held, local, domain), "carla@exemplo.com.br"), **ELSEWHERE)
    assert not decided(known, blocklist=(addressed(listed, local, domain),)).seria_executado


PIECES = st.sampled_from([
    *"0123456789 ()-.+/xe,;|@a\n&%#<", "ana@exemplo.com.br", "84 99708-4444", "+55", "0xx", "ou", "%40", "&amp;", "&#x",
    "at", "wa.me/", "@c.us", "\u200b", "\u00a0", "\uff11", "\u0663", "\u00bd", "\u00df", "\u01c6", "\ud800",
    "+1 415 555 2671",
])  # fmt: skip


@settings(max_examples=800, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=40))
@example("ana@exemplo.com.br&para=bia%40exemplo.com.br")
def test_what_is_sent_to_because_of_any_text_is_blocked_by_that_text(text: str) -> None:
    for one in phones.sendable(text) + emails.sendable(text):
        assert not keys(one).isdisjoint(keys(text))
    for known in (lead(telefones=(text,)), lead(emails=(text,))):
        assert not decided(known, blocklist=(text,)).seria_executado
