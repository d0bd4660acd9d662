"""Queries in `.sql` files, beside the module that sends them; a file is read once, at its first use."""

from functools import cache
from importlib import resources

INCLUDE, NAME = "-- include ", "-- name: "


@cache
def load(package: str, path: str) -> str:
    """Return the query in a file of a package, such as `queries/columns.sql` of `runner.schema`.

    A line `-- include NAME` is replaced by the query in `NAME.sql` of the same folder.
    Raises `FileNotFoundError`.
    """
    folder, _, _ = path.rpartition("/")
    # package data rather than a path: the wheel may be imported from a zip file
    lines = resources.files(package).joinpath(path).read_text(encoding="utf-8").splitlines()
    return "\n".join(_included(package, folder, line) for line in lines)


def _included(package: str, folder: str, line: str) -> str:
    before, include, name = line.partition(INCLUDE)
    return load(package, f"{folder}/{name}.sql".removeprefix("/")) if include and not before.strip() else line


@cache
def load_named(package: str, path: str) -> dict[str, str]:
    """Return the statements of a file with several, by the names in the lines `-- name: NAME` above them.

    Lines that are comments are left out: some statements are sent for each revision.
    """
    lines = load(package, path).splitlines()
    text = "\n".join(line for line in lines if line.startswith(NAME) or not line.startswith("--"))
    # the text before the first name is the file's own
    _, *parts = f"\n{text}".split(f"\n{NAME}")
    pairs = (part.partition("\n") for part in parts)
    # an error shows the statement, which there is not to end like a file
    return {name: statement.strip().removesuffix(";") for name, _, statement in pairs}
