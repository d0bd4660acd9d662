"""SQL in files of its own, beside the module that sends it; each is read when it is first asked for."""

from functools import cache
from importlib import resources

INCLUDE, NAME = "-- include ", "-- name: "


@cache
def load(package: str, path: str) -> str:
    """Return the query in a file of a package, such as `queries/columns.sql` of `runner.schema`.

    A line `-- include NAME` stands for the query in `NAME.sql`, looked for in the folder of that file.
    """
    folder, _, _ = path.rpartition("/")
    lines = resources.files(package).joinpath(path).read_text(encoding="utf-8").splitlines()
    return "\n".join(_included(package, folder, line) for line in lines)


def _included(package: str, folder: str, line: str) -> str:
    before, include, name = line.partition(INCLUDE)
    return load(package, f"{folder}/{name}.sql") if include and not before.strip() else line


@cache
def load_named(package: str, path: str) -> dict[str, str]:
    """Return the statements of a file that has several, by the name in the line `-- name: NAME` above each."""
    _, *parts = f"\n{load(package, path)}".split(f"\n{NAME}")
    pairs = (part.partition("\n") for part in parts)
    # an error shows the statement, which there is not to end like a file
    return {name: statement.strip().removesuffix(";") for name, _, statement in pairs}
