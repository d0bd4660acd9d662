"""What a caller sends in the place of a verb or of a field's name may be of a person, and is repeated nowhere."""

import pytest

from dispatch_agent import upkeep
from dispatch_agent.run import run

PERSON = "Zulmira Plantada 84 99708-4444"


@pytest.mark.parametrize("event", [{"action": PERSON}, {"action": [PERSON]}, {"action": "purge", PERSON: 1}])
def test_a_verb_that_there_is_not(event: dict[str, object]) -> None:
    answer = upkeep.execute(event, {}, "request", 5)
    assert answer["code"] == "invalid-payload"
    assert "Zulmira" not in str(answer)


def test_a_field_that_there_is_not() -> None:
    answer = run({"tenantId": "test-001", PERSON: 1}, {}, "request", 5, lambda *_, **__: None)
    assert answer["code"] == "invalid-payload"
    assert answer["error"].startswith("The event has a field that there is not.")
    assert "Zulmira" not in str(answer)
    # one that may be misspelt is named
    assert "`batchSise`" in run({"tenantId": "t", "batchSise": 1}, {}, "request", 5, lambda *_, **__: None)["error"]
