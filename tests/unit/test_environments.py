"""The names that Lambda takes for a function, and the profiles that come with the project."""

import pytest

from runner.aws import environments
from support.project import ROOT

NAME = "aurora-migrations-runner-dev"


@pytest.mark.parametrize(
    ("given", "region"),
    [
        (NAME, None),
        (f"{NAME}:live", None),
        (f"123456789012:function:{NAME}", None),
        (f"arn:aws:lambda:sa-east-1:123456789012:function:{NAME}", "sa-east-1"),
        (f"arn:aws:lambda:sa-east-1:123456789012:function:{NAME}:7", "sa-east-1"),
    ],
)
def test_the_bare_name_and_the_region(given: str, region: str | None) -> None:
    known = environments.of_function(given)
    assert (known.function, known.name, known.region) == (given, NAME, region)


@pytest.mark.parametrize("env", ["dev", "prod"])
def test_the_profiles_of_this_project(env: str) -> None:
    known = environments.read({"ALEMBIC_CONFIG": str(ROOT / "alembic.ini")}, env)
    assert (known.function, known.region) == (f"aurora-migrations-runner-{env}:live", "us-east-1")
