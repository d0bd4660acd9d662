"""The contacts of a lead: where it may be sent to, and the keys by which a blocklist may have it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dispatch_agent.contacts.emails import sendable as sendable_emails
from dispatch_agent.contacts.keys import keys, lookups
from dispatch_agent.contacts.phones import sendable as sendable_phones
from dispatch_agent.lead import Lead

Finder = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Contacts:
    """The distinct contacts of a lead that may be sent to, the first ones first."""

    phones: tuple[str, ...]
    """E.164."""
    emails: tuple[str, ...]
    unreadable: int
    """The number of texts that were read and have nothing to send to."""


def find(lead: Lead) -> Contacts:
    """Return the structured contacts of each kind, or where none of them can be sent to, those of the raw string."""
    phones, bad_phones = _chosen(sendable_phones, lead.telefones, lead.telefone_raw, lead.recusados)
    emails, bad_emails = _chosen(sendable_emails, lead.emails, lead.email_raw, lead.recusados)
    return Contacts(phones, emails, bad_phones + bad_emails)


def lookup_keys(lead: Lead) -> list[str]:
    """Return the keys of all contacts of the lead, used or not, sendable or not."""
    found: list[str] = []
    for text in (*lead.telefones, *lead.emails, lead.telefone_raw, lead.email_raw, *lead.recusados):
        if text:
            found += lookups(text)
    return found


def _chosen(
    find: Finder, structured: tuple[str, ...], raw: str | None, refused: tuple[str, ...]
) -> tuple[tuple[str, ...], int]:
    found, unreadable = _read(find, structured)
    if found or not raw:
        return found, unreadable
    found, more = _read(find, (raw,))
    if refused:
        unwanted = {key for text in refused for key in keys(text)}
        found = tuple(one for one in found if unwanted.isdisjoint(lookups(one)))
    return found, unreadable + more


def _read(find: Finder, texts: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Return the distinct contacts in `texts`, and the number of the texts that have none."""
    all_found: tuple[str, ...] = ()
    unreadable = 0
    for text in texts:
        found = find(text)
        all_found += found
        unreadable += not found and not text.isspace() and text != ""
    return (all_found if len(all_found) < 2 else _distinct(all_found)), unreadable


def _distinct(found: Iterable[str]) -> tuple[str, ...]:
    first: dict[frozenset[str], str] = {}
    for one in found:
        first.setdefault(keys(one), one)
    return tuple(first.values())
