"""An address with signs glued to it is found on a blocklist, and is sent to only where it is certain."""

import pytest

from dispatch_agent.contacts import emails, keys

ANA, BIA = keys.keys("ana@exemplo.com.br"), keys.keys("bia@exemplo.com.br")
SIGNS = ["•", "→", "📧", "-", "!", "_", "#", "~", "✉", "*"]


@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_before_or_behind_it(sign: str) -> None:
    for text in (f"{sign}ana@exemplo.com.br", f"ana@exemplo.com.br{sign}", f"{sign}ana@exemplo.com.br{sign}"):
        assert keys.keys(text) >= ANA, text
        assert keys.names_somebody(keys.keys(text)), text
        assert emails.sendable(text) in ((), ("ana@exemplo.com.br",)), text


@pytest.mark.parametrize("text", ['"ana"@exemplo.com.br', "ana@@exemplo.com.br", "'ana'@exemplo.com.br"])
def test_signs_within_it(text: str) -> None:
    assert keys.keys(text) >= ANA


@pytest.mark.parametrize("between", ["&", "-", r"\n", "\n", "|", "•", "/"])
def test_two_that_nothing_usual_parts(between: str) -> None:
    assert keys.keys(f"ana@exemplo.com.br{between}bia@exemplo.com.br") >= ANA | BIA


@pytest.mark.parametrize("between", [" . ", " 2 ", " . 2 "])
def test_a_part_of_an_address_is_not_sent_to(between: str) -> None:
    assert emails.sendable(f"ana{between}souza@exemplo.com.br") == ()


@pytest.mark.parametrize(
    "text", ["1. ana@exemplo.com.br", "e-mail 2 ana@exemplo.com.br", "ana@exemplo.com.br 2. bia@exemplo.com.br"]
)
def test_a_number_before_a_whole_one(text: str) -> None:
    assert emails.sendable(text)[0] == "ana@exemplo.com.br"


def test_nobody_else_is_blocked() -> None:
    """A part of a local part is no address."""
    for text in ("jose-ana@exemplo.com.br", "jose.ana@exemplo.com.br", "josé_ana@exemplo.com.br"):
        assert not keys.keys(text) & ANA, text
