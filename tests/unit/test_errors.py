"""Other people's exceptions leave as ours, and nothing of them goes along."""

import ast
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from runner.errors import InvalidSettings, MigrationError, translating
from support.project import ROOT

SECRET = "postgresql://u:s3cret@h/d"


def refused(_: BaseException) -> InvalidSettings:
    return InvalidSettings("It was refused.", "Correct it.")


def raised(error: BaseException) -> None:
    raise error


def raised_while_handling(error: BaseException) -> None:
    try:
        raised(LookupError(SECRET))
    except LookupError:
        raise error  # noqa: B904 - the context is what the test is about


def translated_while_handling() -> None:
    try:
        raised(LookupError(SECRET))
    except LookupError:
        with translating(ValueError, refused):
            raised(ValueError(SECRET))


def test_the_translated_error_has_neither_context_nor_cause() -> None:
    with pytest.raises(InvalidSettings) as caught, translating(ValueError, refused):
        raised(ValueError(SECRET))
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


@pytest.mark.parametrize("wrong", [ValueError(SECRET), UnicodeError(SECRET)], ids=["itself", "a subclass"])
def test_an_exception_with_a_context_of_its_own_leaves_nothing_of_it(wrong: ValueError) -> None:
    with pytest.raises(InvalidSettings) as caught, translating(ValueError, refused):
        raised_while_handling(wrong)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_what_the_caller_was_handling_is_no_context_either() -> None:
    with pytest.raises(InvalidSettings) as caught:
        translated_while_handling()
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def test_context_managers_on_the_way_out_give_it_none() -> None:
    @contextmanager
    def cleaning() -> Iterator[None]:
        try:
            yield
        except InvalidSettings:
            with suppress(LookupError):
                raised(LookupError(SECRET))
            raise

    with pytest.raises(InvalidSettings) as caught, ExitStack(), cleaning(), translating(ValueError, refused):
        raised(ValueError(SECRET))
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def test_an_explanation_with_a_cause_of_its_own_loses_it() -> None:
    def explain(error: ValueError) -> MigrationError:
        made = refused(error)
        made.__cause__ = error
        return made

    with pytest.raises(InvalidSettings) as caught, translating(ValueError, explain):
        raised(ValueError(SECRET))
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def test_the_traceback_leads_to_the_block() -> None:
    with pytest.raises(InvalidSettings) as caught, translating(ValueError, refused):
        raised(ValueError(SECRET))
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert (names[0], names[-1]) == ("test_the_traceback_leads_to_the_block", "translating")


def test_the_exception_is_explained_with_its_own_traceback() -> None:
    seen: list[str] = []

    def explain(error: ValueError) -> MigrationError:
        seen.extend(frame.name for frame in traceback.extract_tb(error.__traceback__))
        return refused(error)

    with pytest.raises(InvalidSettings), translating(ValueError, explain):
        raised(ValueError(SECRET))
    assert seen[-1] == "raised"


def test_what_is_not_translated_passes_with_its_own_context() -> None:
    other, ours = KeyError("other"), ValueError("ours")
    for wrong, explain in ((other, refused), (ours, lambda _: None)):
        with pytest.raises(type(wrong)) as caught, translating(ValueError, explain):
            raised_while_handling(wrong)
        assert caught.value is wrong
        assert isinstance(wrong.__context__, LookupError)


def test_the_inner_of_two_translations_comes_first_and_the_outer_leaves_it_alone() -> None:
    with (
        pytest.raises(InvalidSettings, match="inner"),
        translating(ValueError, lambda _: InvalidSettings("outer", "")),
        translating(UnicodeError, lambda _: InvalidSettings("inner", "")),
    ):
        raised(UnicodeError(SECRET))


def test_an_interrupt_is_translated_only_where_it_is_asked_for() -> None:
    with pytest.raises(KeyboardInterrupt), translating(Exception, refused):
        raised(KeyboardInterrupt())
    with pytest.raises(InvalidSettings) as caught, translating((ValueError, KeyboardInterrupt), refused):
        raised(KeyboardInterrupt())
    assert caught.value.__context__ is None


def test_a_block_that_ends_well_keeps_its_result() -> None:
    def result() -> int:
        with translating(ValueError, refused):
            return 3

    assert result() == 3


def test_no_error_keeps_another_in_a_context_that_is_only_hidden() -> None:
    """`raise … from None` hides a context and keeps it; `errors.translating` leaves none."""
    hiding = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.cause, ast.Constant)
    ]
    assert hiding == []
