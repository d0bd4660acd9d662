"""The minimum of a function: the interpreter, Alembic, psycopg2 and one connection, without a secret."""

import os
from contextlib import closing

import alembic.command  # noqa: F401 - its import is what is measured
import psycopg2


def handler(event: object, context: object) -> dict[str, object]:
    """Read the version table."""
    with closing(psycopg2.connect(os.environ["DATABASE_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute("select version_num from alembic_version")
        return {"status": "success", "current": [version for (version,) in cursor.fetchall()]}
