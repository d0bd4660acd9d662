"""The pictures of the documents are what the commands show."""

import re

import pytest

from support import pictures

FRAME = re.compile("[┏━┳┓┃┡╇┩│└─┴┘]+")


@pytest.fixture(scope="module")
def drawn() -> pictures.Drawn:
    """The answers of real runs, drawn anew."""
    return pictures.draw()


def test_each_picture_is_what_a_real_run_shows(drawn: pictures.Drawn) -> None:
    """`make pictures` writes them; the folder has no other."""
    kept = {path.name: path.read_text("utf-8") for path in pictures.FOLDER.glob("*")}
    assert kept.keys() == drawn.files.keys()
    for name, svg in drawn.files.items():
        assert kept[name] == svg, name


def words(text: str) -> set[str]:
    """Return what stands between spaces, without frames and the colons of columns below their rows."""
    return {word.rstrip(":") for word in FRAME.sub(" ", text).split()}


@pytest.mark.parametrize("columns", pictures.COLUMNS)
@pytest.mark.parametrize("verb", pictures.VERBS)
def test_nothing_is_broken_inside_a_word(drawn: pictures.Drawn, verb: str, columns: int) -> None:
    """A narrow terminal shows the words of a wide one; a line that does not fit is one command, to be copied whole."""
    narrow, wide = drawn.texts[verb, columns], drawn.texts[verb, pictures.WIDE]
    assert words(narrow) <= words(wide)
    assert words(wide) - words(narrow) <= {"description"}
    for line in narrow.splitlines():
        assert len(line) <= columns or line.startswith("migrate "), line


def test_the_pictures_ask_no_server_and_name_no_machine() -> None:
    """They hold their own text, and the addresses of two namespaces at most."""
    for path in pictures.FOLDER.glob("*.svg"):
        svg = path.read_text("utf-8")
        assert set(re.findall(r"https?://[^\"< ]+", svg)) <= {
            "http://www.w3.org/2000/svg", "https://www.textualize.io",
        }  # fmt: skip
        assert not re.search(r"url\((?!#)|@import|/tmp|/home|/work", svg), path.name
