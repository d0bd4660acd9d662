"""A person who asked not to be contacted is found however their contact was written down."""

import pytest

from dispatch_agent.contacts.keys import keys, lookups


@pytest.mark.parametrize(
    "written",
    [
        "84 99708-4444 (recado)",
        "tel 84997084444",
        "tel: (84) 9708-4444",
        "(84)99708-4444 / (84)98888-7777",
        "(84)98888-7777; +55 84 99708 4444",
        "ana@example.com, 84997084444",
    ],
)
def test_a_phone_with_something_beside_it(written: str) -> None:
    assert not keys(written).isdisjoint(lookups("+5584997084444"))


def test_another_number_is_another_person() -> None:
    for other in ("84 99708-4445 (recado)", "-", "n/a"):
        assert keys(other).isdisjoint(lookups("+5584997084444"))
