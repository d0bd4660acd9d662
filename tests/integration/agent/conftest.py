import pytest

from support.postgres import Database
from support.project import Project


@pytest.fixture
def migrated(project: Project, database: Database) -> Database:
    """A database with the schema that the agent's commands use."""
    project.ask(database.url, {"action": "upgrade"})
    return database
