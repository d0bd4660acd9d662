from pathlib import Path

import pytest

from support import synthesis
from support.synthesis import FIRST, GITHUB, SECOND, Template, synthesise, upgraded

RECORDED = {"dev": upgraded(FIRST), "prod": upgraded(SECOND)}


@pytest.fixture(scope="session")
def cloud_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what is synthesised beside databases that are there already."""
    return tmp_path_factory.mktemp("existing")


@pytest.fixture(scope="session")
def existing(cloud_assembly: Path) -> dict[str, Template]:
    """The stacks of both environments beside databases that are there already, by name."""
    environments = {
        name: {
            "database": synthesis.database(name),
            "alarmEmail": f"{name}@example.com",
            "agentTenants": ["test-001", "test-002"],
            "agentBatchSize": 250,
        }
        for name in RECORDED
    }
    return synthesise(cloud_assembly, {"environments": environments, "github": GITHUB}, RECORDED)


@pytest.fixture(scope="session")
def sample_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what is synthesised with the sample stack's databases."""
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="session")
def sample(sample_assembly: Path) -> dict[str, Template]:
    """The stacks of both environments with the database of the sample stack, by name."""
    environments = {"dev": {"agentTenants": ["test-001"]}, "prod": {"disparoEnabled": True}}
    return synthesise(sample_assembly, {"environments": environments}, RECORDED)


@pytest.fixture(scope="session")
def every(existing: dict[str, Template], sample: dict[str, Template]) -> list[Template]:
    """Each template there is."""
    return [*existing.values(), *sample.values()]


@pytest.fixture(scope="session")
def functions(every: list[Template]) -> list[Template]:
    """The templates that have a function."""
    return [template for template in every if template.of("AWS::Lambda::Function")]
